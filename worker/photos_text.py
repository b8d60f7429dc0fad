"""What the photos of a job took, in a line."""

from models.text import number_of
from worker.parts import PhotoWork

__all__ = ["photos_text"]


def photos_text(work: PhotoWork) -> str:
    """Such as ``98,000 rows carried over from the previous result; 796 photos decoded``.

    Nothing where every photo was read from a disk and decoded, or nobody wrote down what became of it.
    """
    megabytes = f"({work.bytes / 1e6:,.1f} MB)"
    result = "carried over from the previous result"
    said = {
        number_of(work.carried, f"row {result}", f"rows {result}"): work.carried,
        number_of(work.repeated, "repeat of another row's photo", "repeats of other rows' photos"): work.repeated,
        number_of(work.unchanged, "photo unchanged at its host", "photos unchanged at their hosts"): work.unchanged,
        number_of(work.downloaded, f"photo downloaded {megabytes}", f"photos downloaded {megabytes}"): work.downloaded,
    }
    counts = [words for words, count in said.items() if count]
    return f"{', '.join(counts)}; {number_of(work.decoded, 'photo')} decoded" if counts else ""
