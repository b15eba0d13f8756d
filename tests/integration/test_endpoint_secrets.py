"""What proves who asks, and who answers: a token, a password, a certificate."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import numpy as np
import pytest
import trustme

from robust.errors import InputError, ModelFault
from robust.recommenders.adapters import open_adapter
from tests.integration.servers.describe import KSERVE, N_ITEMS, QUICKLY, TOKEN, Describe, by_hand, histories
from tests.integration.servers.start import Server, serving


def test_the_token_travels_and_shows_nowhere(
    describe: Describe, server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    with caplog.at_level(logging.DEBUG):
        model = describe(KSERVE + "token_env: SHOP_TOKEN\nretries: 0\n", "?api_key=hunter2")
        server.fault()
        model.score(histories(2, seed=11))
        assert server.seen()["headers"][-1]["authorization"] == f"Bearer {TOKEN}"
        for status in (400, 503):
            server.fault("echo", count=1, status=status)
            with pytest.raises(ModelFault, match=f"answered {status}") as caught:
                model.score(histories(2, seed=status))
            assert TOKEN not in str(caught.value)
            assert "hunter2" not in str(caught.value)
    assert TOKEN not in caplog.text
    assert "hunter2" not in caplog.text
    assert TOKEN not in repr(vars(model))


def test_a_password_of_the_address_travels_as_basic_and_shows_nowhere(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.fault()
    file = tmp_path / "m.yaml"
    file.write_text(KSERVE + f"url: {server.url.replace('//', '//me:hunter2@')}\nretries: 0\n")
    with caplog.at_level(logging.DEBUG):
        model = open_adapter(file)
        assert server.seen()["headers"][-1]["authorization"] == "Basic bWU6aHVudGVyMg=="
        server.fault("echo", count=1)
        with pytest.raises(ModelFault) as caught:
            model.score(histories(2, seed=12))
    said = str(caught.value) + caplog.text
    assert "hunter2" not in said
    assert "bWU6aHVudGVyMg" not in said


def test_the_token_does_not_follow_to_another_host(
    describe: Describe, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", TOKEN)
    model = describe(KSERVE + "token_env: SHOP_TOKEN\n", "?api_key=hunter2")
    with serving(N_ITEMS) as other:
        server.fault("redirect", count=9, to=f"{other.url}/v2/models/ranker/infer?token=again")
        with pytest.raises(ModelFault, match=r"redirects .*not followed") as caught:
            model.score(histories(2, seed=31))
        assert other.seen()["bodies"] == []
    assert len(server.seen()["bodies"]) == 1
    assert not any(secret in str(caught.value) for secret in (TOKEN, "hunter2", "token=again"))


def test_a_certificate_is_verified(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    known = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with serving(N_ITEMS, tmp_path / "server.pem", known) as server:
        text = KSERVE + QUICKLY + f"url: {server.url}\nretries: 1\n"
        (tmp_path / "m.yaml").write_text(text)
        with pytest.raises(InputError, match="CERTIFICATE_VERIFY_FAILED"):
            open_adapter(tmp_path / "m.yaml")
        (tmp_path / "m.yaml").write_text(text + "ca: ca.pem\n")
        sequences = histories(5)
        np.testing.assert_allclose(open_adapter(tmp_path / "m.yaml").score(sequences)[:, 1:], by_hand(sequences))
        (tmp_path / "m.yaml").write_text(text + "ca: m.yaml\n")
        with pytest.raises(InputError, match="no certificate of an authority"):
            open_adapter(tmp_path / "m.yaml")
