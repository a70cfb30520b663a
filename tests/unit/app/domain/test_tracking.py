"""Where runs are sent, and what of it is shown."""

import pytest
from pydantic import ValidationError

from app.domain.tracking import TrackingServer, without_secrets
from app.settings import Settings


class TestServer:
    @pytest.mark.parametrize(
        ("uri", "server"),
        [
            ("https://mlflow.example/", TrackingServer("https://mlflow.example")),
            ("http://a:p%40%2Fw@h:5000/x/", TrackingServer("http://h:5000/x", "a", "p@/w")),
            ("http://[::1]:5000", TrackingServer("http://[::1]:5000")),
            ("http://token@h", TrackingServer("http://h", "token")),
        ],
    )
    def test_is_read_without_its_user_and_password(self, uri: str, server: TrackingServer) -> None:
        assert TrackingServer.parse(uri) == server

    @pytest.mark.parametrize(
        "uri",
        ["", "mlruns", "file:///p4ss", "sqlite:///p4ss.db", "http://", "http://p4ss:x@h:port", "http://h/?t=p4ss"],
    )
    def test_is_refused_without_being_repeated(self, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TDMR_MLFLOW_URI", uri)
        with pytest.raises(ValidationError, match="mlflow_uri") as refused:
            Settings()
        assert "p4ss" not in str(refused.value)

    def test_shows_no_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TDMR_MLFLOW_URI", "http://ann:p4ss@h")
        settings = Settings()
        assert "p4ss" not in repr(settings) + repr(settings.tracking_server) + settings.model_dump_json()


class TestSecrets:
    def test_are_left_out_wherever_they_stand(self) -> None:
        said = "POST http://ann:x@h/api failed: bad password p4ss-word of https://bob@h, p4ss"
        shown = "POST http://***@h/api failed: bad password *** of https://***@h, ***"
        assert without_secrets(said, ["p4ss", None, "", "p4ss-word"]) == shown


class TestPublicUrl:
    def test_has_no_slash_at_its_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TDMR_PUBLIC_URL", "HTTPS://tdmr.example:443/")
        assert Settings().public_url == "https://tdmr.example"
