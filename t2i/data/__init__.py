"""Data sets: the drawn Aviary, CUB-200-2011, Oxford-102, COCO and a user's own folder, all read as one :class:`Index`."""
