from __future__ import annotations

import pytest

import gateway


@pytest.mark.parametrize("verb", ["get", "post", "put", "patch", "delete"])
def test_each_method_has_its_function(verb: str) -> None:
    # Nobody listens on the discard port, so nothing is sent.
    with pytest.raises(gateway.ConnectError, match=rf"^{verb.upper()} http://127\.0\.0\.1:9: "):
        getattr(gateway, f"http_{verb}")("http://127.0.0.1:9/", retries=0)
    assert gateway.http_stats()["errors"] == {"ConnectError": 1}
