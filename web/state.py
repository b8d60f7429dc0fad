"""What all requests share."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from web.classify import ClassifierPool
from web.comparisons import Comparisons
from web.heat_map import HeatMaps
from web.jobs import JobIndex
from web.metrics import WebMetrics
from web.photo_body import PhotoBodies
from web.photos import CatalogueRows, Pictures
from web.review.desk import Reviews
from web.run_jobs import JobRunner
from web.security import Sessions
from web.settings import WebSettings
from web.watch_jobs import JobBoard


@dataclass(frozen=True)
class WebState:
    """One server's.

    Attributes:
        settings: what it was started with.
        sessions: who is let in.
        jobs: that are shown.
        classifier: labels photos of requests.
        runner: starts jobs, and stops them.
        rows: of their catalogues.
        pictures: of their photos.
        reviews: of their doubtful rows.
        bodies: reads photos from requests.
        metrics: of the server.
        board: how far jobs are.
        comparisons: of two models on a job's rows.
        heat_maps: of photos that somebody tries.
    """

    settings: WebSettings
    sessions: Sessions
    jobs: JobIndex
    classifier: ClassifierPool
    runner: JobRunner
    rows: CatalogueRows
    pictures: Pictures
    reviews: Reviews
    bodies: PhotoBodies
    metrics: WebMetrics
    board: JobBoard
    comparisons: Comparisons
    heat_maps: HeatMaps


def make_state(settings: WebSettings) -> WebState:
    """What a server needs; nothing is loaded or started yet."""
    jobs, rows = JobIndex(settings.jobs, settings.results), CatalogueRows()
    classifier, runner = ClassifierPool(settings.model, settings.registry), JobRunner(settings, jobs)
    reviews = Reviews(jobs, settings.corrections, rows)
    return WebState(
        settings,
        Sessions(settings.token),
        jobs,
        classifier,
        runner,
        rows,
        Pictures(rows),
        reviews,
        PhotoBodies(settings.allow_hosts),
        WebMetrics(classifier),
        JobBoard(jobs, runner, reviews.answered),
        Comparisons(),
        HeatMaps(classifier),
    )


async def _state(request: Request) -> WebState:  # a plain function would be called in a thread
    return cast(WebState, request.app.state.hangtag)


State = Annotated[WebState, Depends(_state)]
"""A parameter of a route."""
