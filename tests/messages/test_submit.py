"""Messages of ``hangtag submit``: errors, warnings and the end; no worker runs."""

import re
import shutil
from pathlib import Path

import pytest

from tests.command import clean_environment, run_hangtag
from tests.messages.golden import check_messages
from worker.queue.private_redis import PrivateRedis

MODEL = re.compile(r"cnn/\S+/float32@\w+")


@pytest.mark.usefixtures("redis_installed")
def test_what_submit_says(tmp_path: Path, catalogue: Path, sure_bundle: Path) -> None:
    shutil.copy(min(catalogue.rglob("*.png")), tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    for name, rows in {"shop": "a.png,1", "gone": "x/1.png,2\nx/2.png,3", "blank": ",4"}.items():
        (tmp_path / f"{name}.csv").write_text(f"image,sku\n{rows}\n")
    outputs: dict[str, str] = {}
    with PrivateRedis(tmp_path / "redis") as server:
        away = PrivateRedis(tmp_path / "no-redis").url.replace("//", "//somebody:secret@")
        env = clean_environment(HANGTAG_REDIS_URL=server.url, HANGTAG_JOBS=str(tmp_path / "jobs"))

        def run(title: str, source: str, *options: object, job: str = "spring") -> None:
            words = ("submit", tmp_path / source, "--model", sure_bundle, "--job", job, *options)
            done = run_hangtag(*words, env=env)
            outputs[title] = f"[{done.returncode}] {MODEL.sub('MODEL', done.stdout + done.stderr)}"

        run("no Redis", "shop.csv", "--redis", away)
        run("a URL of another kind", "shop.csv", "--redis", "http://queue")
        run("options of TLS without TLS", "shop.csv", "--redis", "redis://queue/0?ssl_cert_reqs=none")
        run("a file of TLS that is not there", "shop.csv", "--redis", "rediss://queue/0?ssl_ca_certs=/none.pem")
        run("a folder of jobs without a parent", "shop.csv", "--jobs", tmp_path / "none" / "jobs")
        run("a name that no job can have", "shop.csv", job="../spring")
        run("no photo is there", "gone.csv")
        run("no cell has a photo", "blank.csv")
        run("only workers see the photos", "gone.csv", "--image-root", tmp_path / "empty", job="unseen")
        run("carried over from itself", "shop.csv", "--previous", "spring")
        run("carried over from a job that is not there", "shop.csv", "--previous", "winter")
        run("done", "shop.csv")
        run("done before", "shop.csv")
        run("another job of that name", "shop.csv", "--top-k", 1)
        run("carried over from a job that is not done", "shop.csv", "--previous", "spring", job="summer")
        run_hangtag("jobs", "cancel", "spring", env=env)
        run("a job that is cancelled", "shop.csv")
        places = {sure_bundle: "BUNDLE", tmp_path: "FOLDER", server.port: "PORT", away[-7:-2]: "NONE"}
    check_messages("submit", outputs, places)
