"""Every setting of the bridge: accepted, refused with a reason, all at once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ha_extension.settings import SETTINGS, Settings

URL = {"HOME_ASSISTANT_URL": "https://home.example.org"}
PIN = "ab" * 32
README = Path(__file__).parents[2] / "packages" / "ha_extension" / "README.md"


def test_the_url_alone_is_enough() -> None:
    settings = Settings(URL)
    assert settings.problems == ()
    assert settings.warnings == ()
    assert settings.url == "https://home.example.org"
    assert settings.host == "home.example.org"
    assert settings.token is None
    assert settings.ca_file is None
    assert settings.fingerprint is None
    assert settings.client_cert is None
    assert settings.headers is None
    assert settings.verify is True
    assert settings.allow_http is False


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_an_empty_variable_counts_as_unset(value: str) -> None:
    assert Settings(URL | dict.fromkeys(SETTINGS.keys() - URL.keys(), value)).problems == ()


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("https://home.example.org", "https://home.example.org"),
        ("https://home.example.org/", "https://home.example.org"),
        ("https://home.example.org//", "https://home.example.org"),
        (" HTTPS://Home.Example.org:8123/\n", "https://home.example.org:8123"),
        ("https://home.example.org:", "https://home.example.org"),
        ("https://my_home.duckdns.org", "https://my_home.duckdns.org"),
        ("https://203.0.113.9", "https://203.0.113.9"),
        ("https://home.example.org.", "https://home.example.org."),
        ("https://[2001:db8::9]:8123", "https://[2001:db8::9]:8123"),
        ("http://localhost:8123", "http://localhost:8123"),
        ("http://127.0.0.1:8123/", "http://127.0.0.1:8123"),
        ("http://[::1]:8123", "http://[::1]:8123"),
    ],
)
def test_the_url_is_reduced_to_its_origin(value: str, url: str) -> None:
    settings = Settings({"HOME_ASSISTANT_URL": value})
    assert settings.problems == ()
    assert settings.url == url
    assert settings.host == url.partition("://")[2]


def why(path: str) -> str:
    return (
        f"HOME_ASSISTANT_URL must end after the host and the port, not with {path!r}:"
        " Home Assistant answers at the root of its host."
    )


API = "the bridge adds /api/alexa/smart_home itself."
SECRET = (
    "HOME_ASSISTANT_URL must not hold a user name, a password or a query:"
    " each directive brings its token."
)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            "home.example.org",
            (
                "HOME_ASSISTANT_URL must begin with https://,"
                " as in https://home.example.org:8123, not 'home.example.org'."
            ),
        ),
        (
            "ftp://home.example.org",
            (
                "HOME_ASSISTANT_URL must begin with https://,"
                " as in https://home.example.org:8123, not 'ftp://home.example.org'."
            ),
        ),
        (
            "https://home.example.org/api",
            "HOME_ASSISTANT_URL must end after the host and the port, not with '/api': " + API,
        ),
        (
            "https://home.example.org/api/alexa/smart_home",
            "HOME_ASSISTANT_URL must end after the host and the port,"
            " not with '/api/alexa/smart_home': " + API,
        ),
        ("https://home.example.org/lovelace/0", why("/lovelace/0")),
        ("https://home.example.org/apis", why("/apis")),
        ("https://me:hunter2@home.example.org", SECRET),
        ("https://home.example.org?api_password=hunter2", SECRET),
        ("https://", "HOME_ASSISTANT_URL must name a host after https://, not ''."),
        (
            "https:///api",
            "HOME_ASSISTANT_URL must end after the host and the port, not with '/api': " + API,
        ),
        ("https://:8123", "HOME_ASSISTANT_URL must name a host after https://, not ':8123'."),
        (
            "https://home..org",
            "HOME_ASSISTANT_URL must name a host after https://, not 'home..org'.",
        ),
        ("https://ho me", "HOME_ASSISTANT_URL must name a host after https://, not 'ho me'."),
        (
            "https://häuschen.example",
            "HOME_ASSISTANT_URL must name a host after https://, not 'häuschen.example'.",
        ),
        ("https://home#a", "HOME_ASSISTANT_URL must name a host after https://, not 'home#a'."),
        (
            "https://[nonsense]",
            "HOME_ASSISTANT_URL must name a host after https://, not '[nonsense]'.",
        ),
        ("https://[::1", "HOME_ASSISTANT_URL must name a host after https://, not '[::1'."),
        (
            f"https://{'h' * 64}.org",
            f"HOME_ASSISTANT_URL must name a host after https://, not '{'h' * 64}.org'.",
        ),
        ("https://home:0", "HOME_ASSISTANT_URL must have a port between 1 and 65535, not '0'."),
        (
            "https://home:65536",
            "HOME_ASSISTANT_URL must have a port between 1 and 65535, not '65536'.",
        ),
        (
            "https://home:http",
            "HOME_ASSISTANT_URL must have a port between 1 and 65535, not 'http'.",
        ),
        ("https://home:٣", "HOME_ASSISTANT_URL must have a port between 1 and 65535, not '٣'."),
        (
            "http://home.example.org",
            (
                "HOME_ASSISTANT_URL must begin with https://, since the token would travel in"
                " clear text; HOME_ASSISTANT_ALLOW_HTTP=1 permits it."
            ),
        ),
        ("", "HOME_ASSISTANT_URL is not set: name your home, as in https://home.example.org."),
    ],
)
def test_a_wrong_url_is_refused_with_the_reason(value: str, problem: str) -> None:
    assert Settings({"HOME_ASSISTANT_URL": value}).problems == (problem,)


def test_plain_http_can_be_permitted() -> None:
    environ = {"HOME_ASSISTANT_URL": "http://home.example.org", "HOME_ASSISTANT_ALLOW_HTTP": "1"}
    assert Settings(environ).problems == ()


@given(st.text())
def test_no_url_gets_past_the_check_unless_it_is_an_origin(value: str) -> None:
    settings = Settings({"HOME_ASSISTANT_URL": "https://" + value})
    if not settings.problems:
        assert settings.url == settings.url.strip()
        assert settings.url.isascii()
        assert not set(settings.host) & set("/?#@ \\")


@pytest.mark.parametrize(
    ("address", "is_private"),
    [
        ("10.0.0.5", True),
        ("172.15.0.1", False),
        ("172.16.0.1", True),
        ("172.32.0.1", False),
        ("192.168.1.20", True),
        ("192.169.1.20", False),
        ("169.254.1.1", True),
        ("100.64.0.1", True),
        ("100.128.0.1", False),
        ("203.0.113.9", False),
        ("1000.0.0.1", False),
        ("127.0.0.1", False),
        ("localhost", False),
        ("[::1]", False),
        ("[fd00::5]", True),
        ("[fe80::5]", True),
        ("[2001:db8::5]", False),
        ("homeassistant", True),
        ("homeassistant.local", True),
        ("home.arpa.example.org", False),
    ],
)
def test_an_address_that_lambda_cannot_reach_is_warned_of(address: str, is_private: bool) -> None:
    settings = Settings({"HOME_ASSISTANT_URL": f"https://{address}:8123"})
    warning = (
        f"HOME_ASSISTANT_URL names {address}, which Lambda reaches only from inside your"
        " own network (VPC)."
    )
    assert settings.warnings == ((warning,) if is_private else ())
    assert settings.problems == ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("true", True),
        ("1", True),
        ("Yes", True),
        ("ON", True),
        ("false", False),
        ("0", False),
        ("No", False),
        ("OFF", False),
    ],
)
def test_a_flag_is_a_word_for_yes_or_no(value: str, expected: bool) -> None:
    settings = Settings(URL | {"HOME_ASSISTANT_ALLOW_HTTP": value})
    assert settings.allow_http is expected


def test_unverified_tls_is_loud() -> None:
    settings = Settings(URL | {"HOME_ASSISTANT_VERIFY_TLS": "false"})
    assert settings.verify is False
    assert settings.problems == ()
    assert settings.warnings == (
        (
            "HOME_ASSISTANT_VERIFY_TLS=false: anybody on the way can read the tokens of your home"
            " and act as you. HOME_ASSISTANT_CA_FILE or HOME_ASSISTANT_CERT_FINGERPRINT trusts a"
            " private certificate safely."
        ),
    )


def test_a_pinned_certificate_needs_no_other_verification() -> None:
    settings = Settings(
        URL | {"HOME_ASSISTANT_VERIFY_TLS": "false", "HOME_ASSISTANT_CERT_FINGERPRINT": PIN}
    )
    assert settings.problems == settings.warnings == ()


def test_unverified_tls_contradicts_a_private_authority(tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.touch()
    settings = Settings(
        URL | {"HOME_ASSISTANT_VERIFY_TLS": "false", "HOME_ASSISTANT_CA_FILE": str(ca_file)}
    )
    assert settings.problems == (
        "HOME_ASSISTANT_VERIFY_TLS=false contradicts HOME_ASSISTANT_CA_FILE: unset one.",
    )


def test_files_headers_token_and_fingerprint_are_read(tmp_path: Path) -> None:
    pem = tmp_path / "some.pem"
    pem.touch()
    settings = Settings(
        URL
        | {
            "HOME_ASSISTANT_TOKEN": "eyJ.long.lived\n",
            "HOME_ASSISTANT_CA_FILE": str(pem),
            "HOME_ASSISTANT_CLIENT_CERT": str(pem),
            "HOME_ASSISTANT_CERT_FINGERPRINT": ":".join(["AB"] * 32),
            "HOME_ASSISTANT_HEADERS": '{"CF-Access-Client-Id": "id", "X-Key": "a b"}',
        }
    )
    assert settings.problems == ()
    assert settings.token == "eyJ.long.lived"
    assert settings.ca_file == settings.client_cert == str(pem)
    assert settings.fingerprint == PIN
    assert settings.headers == {"CF-Access-Client-Id": "id", "X-Key": "a b"}


OBJECT = 'HOME_ASSISTANT_HEADERS must be a JSON object, as in {"CF-Access-Client-Id": "…"}.'


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        (
            "HOME_ASSISTANT_TOKEN",
            "two words",
            (
                "HOME_ASSISTANT_TOKEN must be visible ASCII characters without blanks:"
                " copy the long-lived token again."
            ),
        ),
        (
            "HOME_ASSISTANT_VERIFY_TLS",
            "maybe",
            (
                "HOME_ASSISTANT_VERIFY_TLS must be one of true, 1, yes, on, false, 0, no, off,"
                " not 'maybe'."
            ),
        ),
        (
            "HOME_ASSISTANT_CA_FILE",
            "/nowhere/hunter2.pem",
            (
                "HOME_ASSISTANT_CA_FILE must be the path of a PEM file in the function's zip,"
                " and no file is there."
            ),
        ),
        (
            "HOME_ASSISTANT_CLIENT_CERT",
            "/nowhere/hunter2.pem",
            (
                "HOME_ASSISTANT_CLIENT_CERT must be the path of a PEM file in the function's zip,"
                " and no file is there."
            ),
        ),
        (
            "HOME_ASSISTANT_CLIENT_CERT",
            "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n",
            "HOME_ASSISTANT_CLIENT_CERT holds PEM text, and must be the path of a file.",
        ),
        (
            "HOME_ASSISTANT_CA_FILE",
            "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----",
            "HOME_ASSISTANT_CA_FILE holds PEM text, and must be the path of a file.",
        ),
        (
            "HOME_ASSISTANT_CERT_FINGERPRINT",
            "abcd",
            (
                "HOME_ASSISTANT_CERT_FINGERPRINT must be the SHA-256 fingerprint of the"
                " certificate, 64 hex digits with or without colons, not 'abcd'."
            ),
        ),
        (
            "HOME_ASSISTANT_CERT_FINGERPRINT",
            "x" * 64,
            (
                "HOME_ASSISTANT_CERT_FINGERPRINT must be the SHA-256 fingerprint of the"
                f" certificate, 64 hex digits with or without colons, not '{'x' * 64}'."
            ),
        ),
        ("HOME_ASSISTANT_HEADERS", "CF-Access-Client-Id: hunter2", OBJECT),
        ("HOME_ASSISTANT_HEADERS", '["hunter2"]', OBJECT),
        ("HOME_ASSISTANT_HEADERS", "[" * 100_000, OBJECT),
        (
            "HOME_ASSISTANT_HEADERS",
            '{"Two Words": "hunter2"}',
            "HOME_ASSISTANT_HEADERS must have header names as its keys, not 'Two Words'.",
        ),
        (
            "HOME_ASSISTANT_HEADERS",
            '{"": "hunter2"}',
            "HOME_ASSISTANT_HEADERS must have header names as its keys, not ''.",
        ),
        (
            "HOME_ASSISTANT_HEADERS",
            '{"Authorization": "hunter2"}',
            "HOME_ASSISTANT_HEADERS must not set 'Authorization', which is the bridge's own.",
        ),
        (
            "HOME_ASSISTANT_HEADERS",
            '{"X-Key": "hunter2\\r\\nX-More: 1"}',
            (
                "HOME_ASSISTANT_HEADERS must have a text of visible ASCII characters"
                " as the value of 'X-Key'."
            ),
        ),
        (
            "HOME_ASSISTANT_HEADERS",
            '{"X-Key": 7}',
            (
                "HOME_ASSISTANT_HEADERS must have a text of visible ASCII characters"
                " as the value of 'X-Key'."
            ),
        ),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_accepted(
    name: str, value: str, problem: str
) -> None:
    settings = Settings(URL | {name: value})
    assert settings.problems == (problem,)
    assert "hunter2" not in problem


def test_every_problem_is_listed_at_once() -> None:
    settings = Settings(
        {
            "HOME_ASSISTANT_URL": "home.example.org",
            "HOME_ASSISTANT_TOKEN": "a b",
            "HOME_ASSISTANT_CA_FILE": "/nowhere",
            "HOME_ASSISTANT_CERT_FINGERPRINT": "1",
            "HOME_ASSISTANT_CLIENT_CERT": "/nowhere",
            "HOME_ASSISTANT_VERIFY_TLS": "perhaps",
            "HOME_ASSISTANT_HEADERS": "{",
            "HOME_ASSISTANT_ALLOW_HTTP": "perhaps",
        }
    )
    assert [problem.split()[0] for problem in settings.problems] == list(SETTINGS)


def test_an_unknown_setting_is_named_but_not_its_value() -> None:
    settings = Settings(URL | {"HOME_ASSISTANT_TOKN": "hunter2", "PATH": "/bin"})
    assert settings.problems == ()
    assert settings.warnings == (
        "HOME_ASSISTANT_TOKN is not a setting of the bridge and is ignored.",
    )


def test_the_table_in_the_readme_lists_the_settings_in_their_order() -> None:
    lines = README.read_text().splitlines()
    named = [line.split("`")[1] for line in lines if line.startswith("| `HOME_ASSISTANT_")]
    assert named == list(SETTINGS)
