import pytest
from yarl import URL

from models.errors import ImageError
from worker.photos.address import Addresses
from worker.sources.web import check_host

PRIVATE = ["10.0.0.1", "127.0.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "[::1]", "[fd00::1]", "[fe80::1]"]  # noqa: S104


@pytest.mark.parametrize("host", [*PRIVATE, "[::ffff:10.0.0.1]", "224.0.0.1"])
def test_addresses_that_are_not_public_are_refused_unless_named(host: str) -> None:
    url = URL(f"http://{host}:8080/a.csv")
    with pytest.raises(ImageError, match="pass --allow-host") as refusal:
        check_host(url, Addresses())
    named = str(refusal.value).partition("--allow-host ")[2].split()[0].rstrip(".")
    check_host(url, Addresses([named]))
    with pytest.raises(ImageError):
        check_host(url.with_port(8081), Addresses([named]))


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "shop.example"])
def test_public_addresses_and_names_pass(host: str) -> None:
    check_host(URL(f"https://{host}/"), Addresses())
