"""Who is let in: origins, hosts, tokens and addresses, without a socket."""

import pytest

from tracker.stream.errors import StreamError
from tracker.stream.security import AccessRules, is_loopback, require_token_off_loopback

STREAM = "/v1/stream"


def status(rules: AccessRules, path: str = STREAM, **headers: str | list[str]) -> int:
    """The status a request is refused with; 0 if it is let in."""
    given = {"Host": "127.0.0.1:4263"} | headers

    def values(name: str) -> list[str]:
        value = given.get(name, [])
        return value if isinstance(value, list) else [value]

    refusal = rules.refusal(path, values)
    return refusal.status.value if refusal else 0


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ([], 0),
        ("http://localhost", 0),
        ("http://localhost:5173", 0),
        ("https://127.0.0.1:8443", 0),
        ("http://[::1]:3000", 0),
        ("https://tool.example", 0),
        ("null", 403),
        ("", 403),
        ("https://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("http://localhost:5173.evil.example", 403),
        ("http://evil.example/http://localhost", 403),
        ("http://localhost@evil.example", 403),
        ("file://", 403),
        ("chrome-extension://abcdef", 403),
        ("HTTPS://TOOL.EXAMPLE.evil", 403),
        (["http://localhost", "https://evil.example"], 403),
    ],
)
def test_origins(origin: str | list[str], expected: int):
    rules = AccessRules("127.0.0.1", allow_origins=("https://tool.example",))
    assert status(rules, Origin=origin) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1:4263", 0),
        ("localhost", 0),
        ("LOCALHOST:4263", 0),
        ("[::1]:4263", 0),
        ("hands.example:4263", 0),
        ("attacker.example:4263", 403),
        ("127.0.0.1.attacker.example", 403),
        ("192.168.1.7:4263", 403),
        ("[::1].attacker.example", 403),
        ("", 403),
        ([], 403),
        (["127.0.0.1", "attacker.example"], 403),
    ],
)
def test_hosts(host: str | list[str], expected: int):
    rules = AccessRules("127.0.0.1", allow_hosts=("hands.example",))
    assert status(rules, Host=host) == expected


def test_the_address_listened_on_is_a_known_host():
    assert status(AccessRules("192.168.1.7", "s"), f"{STREAM}?token=s", Host="192.168.1.7:1") == 0
    assert status(AccessRules("192.168.1.7", "s"), f"{STREAM}?token=s", Host="10.0.0.1:1") == 403


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.168.1.7:4263", 0),
        ("[fd00::7]:4263", 0),
        ("localhost:4263", 0),
        ("hands.local:4263", 403),
        ("192.168.1.7.attacker.example", 403),
        ("192.168.1:4263", 403),
        ("0x7f000001:4263", 403),
        ("192.168.1.7@attacker.example", 403),
    ],
)
def test_where_every_address_is_listened_on_any_in_numbers_is_known(host: str, expected: int):
    """A rebound name stays a name in `Host`."""
    for everywhere in ("0.0.0.0", "::", ""):
        assert status(AccessRules(everywhere, "s"), f"{STREAM}?token=s", Host=host) == expected


OWN = "http://192.168.1.7:4263"


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        (OWN, "192.168.1.7:4263", 0),
        ("http://hands.example:4263", "hands.example:4263", 0),
        ("http://hands.example", "hands.example", 0),
        ("http://[fd00::7]:4263", "[fd00::7]:4263", 0),
        (OWN, "192.168.1.8:4263", 403),  # another machine's page
        ("http://192.168.1.7:80", "192.168.1.7:4263", 403),  # another server's page
        ("http://192.168.1.7", "192.168.1.7:4263", 403),
        ("https://192.168.1.7:4263", "192.168.1.7:4263", 403),  # no TLS here: not our page
        ("null", "192.168.1.7:4263", 403),
        ("http://attacker.example:4263", "attacker.example:4263", 403),  # a name rebound to us
        ("http://attacker.example:4263", "192.168.1.7:4263", 403),
        ([OWN, OWN], "192.168.1.7:4263", 403),
        (OWN, ["192.168.1.7:4263", "192.168.1.7:4263"], 403),
    ],
)
def test_the_own_page_may_connect_where_there_is_a_token(origin, host, expected: int):
    rules = AccessRules("0.0.0.0", "s", allow_hosts=("hands.example",))
    assert status(rules, f"{STREAM}?token=s", Origin=origin, Host=host) == expected


def test_the_own_page_needs_the_token_like_anyone():
    rules = AccessRules("192.168.1.7", "s")
    assert status(rules, STREAM, Origin=OWN, Host="192.168.1.7:4263") == 401
    assert status(rules, "/", Origin=OWN, Host="192.168.1.7:4263") == 0


def test_without_a_token_an_allowed_name_makes_no_page_welcome():
    """In a local network anyone may answer for `hands.local`, serve a page, and rebind the name."""
    rules = AccessRules("127.0.0.1", allow_hosts=("hands.local",))
    assert status(rules, Host="hands.local:4263") == 0
    assert status(rules, Host="hands.local:4263", Origin="http://hands.local:4263") == 403


@pytest.mark.parametrize(
    ("path", "authorization", "expected"),
    [
        (STREAM, [], 401),
        (f"{STREAM}?token=s3cret", [], 0),
        (f"{STREAM}?token=s3cret%20", [], 401),
        (f"{STREAM}?token=", [], 401),
        (f"{STREAM}?Token=s3cret", [], 401),
        (f"{STREAM}?token=wrong&token=s3cret", [], 0),
        (STREAM, "Bearer s3cret", 0),
        (STREAM, "Bearer s3cre", 401),
        (STREAM, "s3cret", 401),
        (STREAM, "Basic s3cret", 401),
        (STREAM, "Bearer \udcff", 401),
        ("/v1/topology/left", [], 401),
        ("/unknown", [], 401),
        ("/healthz", [], 0),
        ("/", [], 0),
    ],
)
def test_tokens(path: str, authorization: str | list[str], expected: int):
    assert status(AccessRules("127.0.0.1", "s3cret"), path, Authorization=authorization) == expected


def test_a_page_from_elsewhere_is_refused_even_with_the_token():
    rules = AccessRules("127.0.0.1", "s")
    assert status(rules, f"{STREAM}?token=s", Origin="https://evil.example") == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_no_token(host: str):
    assert is_loopback(host)
    require_token_off_loopback(host, None)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "192.168.1.7", "hands.local", "8.8.8.8"])
@pytest.mark.parametrize("token", [None, ""])
def test_elsewhere_a_token_is_demanded(host: str, token: str | None):
    with pytest.raises(StreamError, match="--token") as caught:
        require_token_off_loopback(host, token)
    assert "\n" not in str(caught.value)
    require_token_off_loopback(host, "s3cret")
