"""What pyproject.toml cannot say: a wheel carries the part of ``data/`` that the package reads, as ``t2i/_data``."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

READ = ("published.json", "results/*/*.json", "released/*/*")


class WithData(build_py):
    def run(self):
        super().run()
        if self.editable_mode:  # which reads them where they lie
            return
        for file in (file for pattern in READ for file in Path("data").glob(pattern)):
            copy = Path(self.build_lib, "t2i", "_data", file.relative_to("data"))
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


setup(cmdclass={"build_py": WithData})
