"""The services that all requests share."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from web.catalogues import SlowCalls
from web.classifier_pool import ClassifierPool
from web.jobs import JobIndex
from web.metrics import WebMetrics
from web.photo_body import PhotoBodies
from web.pictures import CatalogueRows, Pictures
from web.review.reviews import Reviews
from web.run_jobs import JobRunner
from web.security import Access
from web.settings import WebSettings
from web.watch_jobs import JobBoard


@dataclass(frozen=True)
class WebState:
    """The services of one server.

    Attributes:
        rows: rows of the jobs' catalogues.
        board: the progress of jobs.
        previews, submissions: threads that read catalogues from other hosts.
    """

    settings: WebSettings
    access: Access
    jobs: JobIndex
    classifier: ClassifierPool
    runner: JobRunner
    rows: CatalogueRows
    pictures: Pictures
    reviews: Reviews
    bodies: PhotoBodies
    metrics: WebMetrics
    board: JobBoard
    previews: SlowCalls
    submissions: SlowCalls

    async def close(self) -> None:
        """End all processes and threads."""
        await self.classifier.close()
        self.runner.close()
        await self.pictures.close()


def make_state(settings: WebSettings) -> WebState:
    """Create the services of a server."""
    jobs, rows = JobIndex(settings.jobs, settings.results or ()), CatalogueRows()
    runner, reviews, metrics = JobRunner(settings, jobs), Reviews(jobs, settings.corrections, rows), WebMetrics()
    return WebState(
        settings=settings,
        access=Access(settings.token),
        jobs=jobs,
        classifier=ClassifierPool(settings.model, settings.registry, metrics),
        runner=runner,
        rows=rows,
        pictures=Pictures(rows),
        reviews=reviews,
        bodies=PhotoBodies(settings.allow_host or ()),
        metrics=metrics,
        board=JobBoard(jobs, runner, reviews.answered),
        previews=SlowCalls(),
        submissions=SlowCalls(),
    )


async def _state(request: Request) -> WebState:  # async, so that FastAPI starts no thread
    return cast(WebState, request.app.state.hangtag)


State = Annotated[WebState, Depends(_state)]
