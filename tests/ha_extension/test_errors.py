"""Failures as Alexa's types: which one, and when a credential error is right."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway
from ha_extension import errors

README = Path(__file__).parents[2] / "packages" / "ha_extension" / "README.md"
TYPES = {
    "BRIDGE_UNREACHABLE",
    "EXPIRED_AUTHORIZATION_CREDENTIAL",
    "INTERNAL_ERROR",
    "INVALID_AUTHORIZATION_CREDENTIAL",
    "INVALID_DIRECTIVE",
    "RATE_LIMIT_EXCEEDED",
}
CREDENTIAL = {"EXPIRED_AUTHORIZATION_CREDENTIAL", "INVALID_AUTHORIZATION_CREDENTIAL"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
REFUSED = b"401: Unauthorized"


def jwt(claims: object) -> str:
    text = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{text}.c2lnbmF0dXJl"


def fault_of_401(
    headers: dict[str, str] = TEXT,
    body: bytes = REFUSED,
    *,
    token: str = "opaque",
    is_configured: bool = False,
) -> errors.Fault:
    return errors.fault_of_status(401, headers, body, token, is_configured=is_configured)


@pytest.mark.parametrize(
    ("error", "kind", "type_"),
    [
        (gateway.ConnectError("refused"), "connect", "BRIDGE_UNREACHABLE"),
        (gateway.TlsError("self-signed"), "tls", "BRIDGE_UNREACHABLE"),
        (gateway.TransferError("reset"), "transfer", "BRIDGE_UNREACHABLE"),
        (gateway.ProtocolError("garbage"), "protocol", "BRIDGE_UNREACHABLE"),
        (gateway.DeadlineError("8 s"), "deadline", "BRIDGE_UNREACHABLE"),
        (gateway.CircuitOpenError("open", 5.0), "circuit_open", "BRIDGE_UNREACHABLE"),
        (gateway.TooLargeError("6 MB"), "oversized_answer", "INTERNAL_ERROR"),
        (gateway.ConfigurationError("no such file"), "configuration", "INTERNAL_ERROR"),
        (gateway.MissingDependencyError("urllib3"), "configuration", "INTERNAL_ERROR"),
        (gateway.GatewayError("else"), "unexpected", "INTERNAL_ERROR"),
    ],
)
def test_each_error_of_the_gateway_has_its_fault(error: Exception, kind: str, type_: str) -> None:
    fault = errors.fault_of_error(error)
    assert (fault.kind, fault.type) == (kind, type_)


@pytest.mark.parametrize(
    ("status", "kind", "type_"),
    [
        (204, "unexpected_status", "INTERNAL_ERROR"),
        (301, "redirect", "BRIDGE_UNREACHABLE"),
        (302, "redirect", "BRIDGE_UNREACHABLE"),
        (399, "redirect", "BRIDGE_UNREACHABLE"),
        (400, "bad_request", "INTERNAL_ERROR"),
        (403, "forbidden", "BRIDGE_UNREACHABLE"),
        (404, "not_found", "BRIDGE_UNREACHABLE"),
        (405, "unexpected_status", "INTERNAL_ERROR"),
        (413, "unexpected_status", "INTERNAL_ERROR"),
        (429, "rate_limit", "RATE_LIMIT_EXCEEDED"),
        (500, "server_error", "INTERNAL_ERROR"),
        (502, "proxy", "BRIDGE_UNREACHABLE"),
        (503, "proxy", "BRIDGE_UNREACHABLE"),
        (504, "proxy", "BRIDGE_UNREACHABLE"),
        (520, "proxy", "BRIDGE_UNREACHABLE"),
        (530, "proxy", "BRIDGE_UNREACHABLE"),
        (531, "unexpected_status", "INTERNAL_ERROR"),
    ],
)
def test_each_status_has_its_fault(status: int, kind: str, type_: str) -> None:
    fault = errors.fault_of_status(status, TEXT, REFUSED, "token", is_configured=False)
    assert (fault.kind, fault.type) == (kind, type_)


def test_home_assistants_401_to_the_directives_token_is_a_credential_error() -> None:
    fault = fault_of_401()
    assert (fault.kind, fault.type) == ("unauthorized", "INVALID_AUTHORIZATION_CREDENTIAL")


def test_an_expired_jwt_is_told_apart() -> None:
    fault = fault_of_401(token=jwt({"exp": 1_700_000_000}))
    assert (fault.kind, fault.type) == ("unauthorized", "EXPIRED_AUTHORIZATION_CREDENTIAL")


def test_a_jwt_that_has_not_expired_is_invalid() -> None:
    fault = fault_of_401(token=jwt({"exp": 4_000_000_000}))
    assert fault.type == "INVALID_AUTHORIZATION_CREDENTIAL"


def test_a_401_to_the_configured_token_does_not_cost_the_account_link() -> None:
    fault = fault_of_401(is_configured=True, token=jwt({"exp": 0}))
    assert (fault.kind, fault.type) == ("configured_token", "INTERNAL_ERROR")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "text/html"}, b"<html>Cloudflare Access</html>"),
        ({"Content-Type": "text/html"}, REFUSED),
        ({}, REFUSED),
        (TEXT, b"401 Unauthorized"),
        (TEXT, b""),
        (TEXT | {"WWW-Authenticate": 'Basic realm="proxy"'}, REFUSED),
    ],
)
@pytest.mark.parametrize("is_configured", [True, False])
def test_the_401_of_a_proxy_does_not_cost_the_account_link(
    headers: dict[str, str], body: bytes, is_configured: bool
) -> None:
    fault = fault_of_401(headers, body, is_configured=is_configured)
    assert (fault.kind, fault.type) == ("proxy_unauthorized", "BRIDGE_UNREACHABLE")


@given(
    st.integers(201, 599),
    st.dictionaries(st.sampled_from(["Content-Type", "Server"]), st.text()),
    st.binary(),
    st.text(),
    st.booleans(),
)
def test_no_other_answer_costs_the_account_link(
    status: int, headers: dict[str, str], body: bytes, token: str, is_configured: bool
) -> None:
    fault = errors.fault_of_status(status, headers, body, token, is_configured=is_configured)
    assert fault.type in TYPES - CREDENTIAL


def test_an_answer_that_is_none_is_never_the_directives_fault() -> None:
    fault = errors.fault_of_answer("not JSON in UTF-8")
    assert (fault.kind, fault.type) == ("nonsense", "INTERNAL_ERROR")
    assert fault.message == (
        "What answered is not JSON in UTF-8: not an answer of Home Assistant to a directive."
    )


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (jwt({"exp": 99}), True),
        (jwt({"exp": 99.5, "name": "ÿ?>"}), True),
        (jwt({"exp": 100}), False),
        (jwt({"exp": "yesterday"}), False),
        (jwt({"exp": None}), False),
        (jwt({"iat": 1}), False),
        (jwt([1]), False),
        (jwt("exp"), False),
        ("head.bm8ganNvbg.tail", False),
        ("head.x.tail", False),
        ("head." + "W1" * 100_000 + ".tail", False),
        ("head.Ž.tail", False),
        ("..", False),
        ("opaque", False),
        ("", False),
    ],
)
def test_only_a_jwt_with_a_past_expiry_has_expired(token: str, expected: bool) -> None:
    assert errors.has_expired(token, 100.0) is expected


@given(st.text())
def test_no_token_confuses_the_look_at_its_expiry(text: str) -> None:
    assert errors.has_expired(f"head.{text}.tail", 0.0) is False


def test_a_failure_says_what_kind_it_is_and_keeps_details_for_the_log() -> None:
    failure = errors.Failure(errors.NO_TOKEN, status=200)
    assert str(failure) == "no_token"
    assert failure.cause is errors.NO_TOKEN
    assert failure.details == {"status": 200}
    assert isinstance(failure, gateway.GatewayError)


@pytest.mark.parametrize(
    "fault",
    [
        errors.NOT_CONFIGURED,
        errors.MALFORMED,
        errors.OVERSIZED,
        errors.NO_TOKEN,
        errors.NO_TIME,
    ],
)
def test_faults_of_the_bridge_itself_have_alexas_types(fault: errors.Fault) -> None:
    assert fault.type in TYPES - CREDENTIAL
    assert fault.message.endswith(".")


def test_the_table_in_the_readme_names_every_kind_with_its_type() -> None:
    faults = [
        *(value for value in vars(errors).values() if isinstance(value, errors.Fault)),
        *(fault for _, fault in errors._ERRORS),
        *errors._STATUS.values(),
        errors.fault_of_answer("empty"),
    ]
    said = {}
    _, _, table = README.read_text().partition("## When something is wrong")
    for line in table.splitlines():
        if line.startswith("| `") and not line.startswith("| `kind`"):
            _, kinds, type_, *_ = line.split("|")
            said |= dict.fromkeys(kinds.split(), type_.strip())
    one_of_two = "INVALID_ or EXPIRED_AUTHORIZATION_CREDENTIAL"
    assert said == {
        f"`{fault.kind}`": one_of_two if fault.type in CREDENTIAL else fault.type
        for fault in faults
    }
