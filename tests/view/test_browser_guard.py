"""Who may look at the browser view."""

import urllib.error
import urllib.request

import pytest

from tracker.view.browser_guard import is_local


@pytest.mark.parametrize(
    ("hosts", "origins", "local"),
    [
        (["127.0.0.1:4264"], [], True),
        (["localhost:4264"], ["http://localhost:4264"], True),
        (["[::1]:80"], ["https://127.0.0.1"], True),
        (["LOCALHOST"], [], True),
        ([], [], False),
        (["127.0.0.1", "127.0.0.1"], [], False),
        (["evil.example:4264"], [], False),
        (["127.0.0.1.evil.example"], [], False),
        (["127.0.0.1:4264"], ["https://evil.example"], False),
        (["127.0.0.1:4264"], ["null"], False),
        (["127.0.0.1:4264"], ["http://127.0.0.1.evil.example"], False),
        (["127.0.0.1:4264"], ["http://localhost", "https://evil.example"], False),
    ],
)
def test_only_this_machines_own_pages_may_look(hosts, origins, local):
    assert is_local(hosts, origins) is local


def test_a_real_server_turns_strangers_away():
    pytest.importorskip("viser", reason="needs the extra `viewer`")
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    from tracker.view.browser_guard import open_server

    _, server = open_server(0, "test")
    try:
        assert server.request_share_url() is None
        url = f"127.0.0.1:{server.get_port()}"
        assert urllib.request.urlopen(f"http://{url}", timeout=10).status == 200
        for header in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            request = urllib.request.Request(f"http://{url}", headers=header)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=10)
            assert refused.value.code == 403
            refused.value.close()
        with pytest.raises(InvalidStatus):
            connect(f"ws://{url}", origin="https://evil.example")
    finally:
        server.stop()
