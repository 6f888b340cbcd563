"""Ways in which the files of a pair are replaced. Each is called with a folder and the new pair, and may be the first to put
one there."""
import mmap
import os
import shutil
import tempfile

import pem

NAMES = ("cert.pem", "key.pem")


def files_in(folder, pair):
    """The pair that is served from `folder` and was issued by the same CA as `pair`."""
    return pem.Pair(folder / NAMES[0], folder / NAMES[1], pair.ca)


def parts(pair, names=NAMES):
    return zip((pair.certificate, pair.key), names)


def written_in_place(folder, pair):
    for new, name in parts(pair):
        shutil.copyfile(new, folder / name)


def renamed_over(folder, pair):
    for new, name in parts(pair):
        shutil.copyfile(new, folder / (name + ".new"))
        os.replace(folder / (name + ".new"), folder / name)


def link_swapped(folder, pair):
    """As certbot does: links into a folder of versions."""
    for new, name in parts(pair):
        (folder / (name + ".new")).symlink_to(new)
        os.replace(folder / (name + ".new"), folder / name)


def kubernetes(names):
    def swapped(folder, pair):
        """As the kubelet does: name -> ..data/name, and ..data is a link to a folder that it swaps."""
        former = folder.joinpath("..data").resolve()
        version = tempfile.mkdtemp(prefix="..", dir=folder)
        for new, name in parts(pair, names):
            shutil.copyfile(new, os.path.join(version, name))
        (folder / "..data_tmp").symlink_to(os.path.basename(version))
        os.replace(folder / "..data_tmp", folder / "..data")
        for name in names:
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(os.path.join("..data", name))
        shutil.rmtree(former, ignore_errors=True)
    return swapped


class Volume:
    """A folder whose changes no event announces, as on a network volume: they are made through a memory mapping, which
    inotify(7) does not see."""
    SIZE = 8192

    def __init__(self, folder, pair):
        self.pair = files_in(folder, pair)
        self._written = []
        for path in (self.pair.certificate, self.pair.key):
            path.write_bytes(b"\n" * self.SIZE)
            with path.open("r+b") as file:
                self._written.append(mmap.mmap(file.fileno(), self.SIZE))
        self.put(pair)

    def put(self, pair):
        for mapping, path in zip(self._written, (pair.certificate, pair.key)):
            mapping[:] = path.read_bytes().ljust(self.SIZE, b"\n")

    def close(self):
        for mapping in self._written:
            mapping.close()
