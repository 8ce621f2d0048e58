"""The published Char-CNN-RNN embeddings of StackGAN's birds, in place of an encoder: what other captions say, they do
not know."""

from pathlib import Path

import torch
from torch import Tensor, nn

from t2i import pickles
from t2i.data.index import Index
from t2i.errors import UserError
from t2i.text import TextFeatures

FILE = "char-CNN-RNN-embeddings.pickle"


class PublishedEmbeddings(nn.Module):
    """Answers like an encoder for the captions of ``index``: caption k of an image has row k of its embeddings. A
    caption that two images share was encoded alike, and either row serves.

    They lie in ``birds/`` of the data set's root, or in the root itself, as ``train/`` and ``test/`` with ``FILE`` and
    ``filenames.pickle`` each. Raises :class:`UserError` where a file is missing or refused, an image has no embeddings,
    or another number of captions than its embeddings.
    """

    def __init__(self, index: Index):
        super().__init__()
        parts, self.rows, count = [], {}, 0
        for split in ("train", "test"):
            folder = _folder(index.root, split)
            vectors = torch.from_numpy(pickles.embeddings(folder / FILE))
            names = pickles.filenames(folder / "filenames.pickle")
            if len(names) != len(vectors):
                problem = f"{folder} holds the embeddings of {len(vectors)} images and the names of {len(names)}"
                raise UserError(problem, "Take both files from one release.")
            numbers = {name: number for number, name in enumerate(names)}
            for example in index.split(split):
                if example.key not in numbers:
                    problem = f"{folder / FILE} has no embeddings of {example.key}"
                    raise UserError(problem, "Read with char-cnn-rnn instead, or use the split of the release.")
                if len(example.captions) != vectors.shape[1]:
                    problem = f"{example.key} has {len(example.captions)} captions, and {vectors.shape[1]} embeddings"
                    raise UserError(problem, "Restore its caption file, a caption a line.")
                first = count + numbers[example.key] * vectors.shape[1]
                self.rows |= {caption: first + k for k, caption in enumerate(example.captions)}
            count += vectors.shape[0] * vectors.shape[1]
            parts.append(vectors.flatten(0, 1))
        self.register_buffer("vectors", torch.cat(parts))

    def encode(self, texts: list[str]) -> Tensor:
        """Captions of the data set, as written -> (B, 1024); :class:`UserError` for any other."""
        for text in texts:
            if text not in self.rows:
                problem = f"{text!r} is no caption of the data set, and the published embeddings know no other"
                raise UserError(problem, "Train with the encoder itself: --text-encoder char-cnn-rnn, or its folder.")
        return self.vectors[[self.rows[text] for text in texts]]

    def features(self, texts: list[str]) -> TextFeatures:
        """:meth:`encode` in the form that generators take."""
        return TextFeatures(words=None, sentence=self.encode(texts), mask=None)


def _folder(root: Path, split: str) -> Path:
    for folder in (root / "birds" / split, root / split):
        if (folder / FILE).is_file():
            return folder
    mend = "Unpack StackGAN's birds.zip in the data set's folder, or read with: --text-encoder char-cnn-rnn"
    raise UserError(f"{root / 'birds' / split / FILE} is missing", mend)
