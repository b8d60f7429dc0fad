"""What the photos of a job took, in a line."""

from worker.parts import PhotoWork

__all__ = ["photos_text"]


def photos_text(work: PhotoWork) -> str:
    """Such as ``98,000 rows carried over from the previous result; 796 photos were decoded``.

    Nothing where every photo was read from a disk and decoded, or nobody wrote down what became of it.
    """
    said = {
        "carried over from the previous result": work.carried,
        "with a photo that another row has": work.repeated,
        "with a photo that its host calls unchanged": work.unchanged,
        f"with a photo that was downloaded ({work.bytes / 1e6:,.1f} MB)": work.downloaded,
    }
    counts = [f"{_count(count, 'row')} {words}" for words, count in said.items() if count]
    if not counts:
        return ""
    return f"{', '.join(counts)}; {_count(work.decoded, 'photo')} {'was' if work.decoded == 1 else 'were'} decoded"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
