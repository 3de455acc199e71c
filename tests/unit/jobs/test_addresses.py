"""Which URLs may be called: tables of every spelling of a private address that is known to get past such guards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import errors
from jobs.addresses import BAD_PORTS, AddressPolicy
from jobs.settings import Settings

STRICT = AddressPolicy()

PRIVATE = [
    # loopback, in every notation that resolvers take
    *("127.0.0.1", "127.255.255.254", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1", "0X7F.1", "0x7f000001"),
    *("2130706433", "017700000001", "0177.0.0x1", "127.0.0.01", "00000177.0.0.1", "127.0.0.1."),
    *("127.0.0.1..", "0x7f.1."),
    # this host, private networks
    *("0", "0.0.0.0", "0x0", "00", "0.0.0.0.", "10.0.0.1", "10.1", "012.1.2.3", "0xa.0.0.1", "167772161"),
    *("172.16.0.1", "172.31.255.255", "0254.020.0.1", "192.168.0.1", "192.168.257", "3232235521", "0xc0a80001"),
    # link-local and the metadata services of clouds
    *("169.254.169.254", "169.254.0.1", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "169.254.43518"),
    *("[fd00:ec2::254]", "168.63.129.16", "192.0.0.192", "100.100.100.200"),
    # shared address space (CGNAT), benchmarking, documentation, 6to4 relays, multicast, reserved, broadcast
    *("100.64.0.1", "100.127.255.255", "198.18.0.1", "198.19.255.255", "192.0.2.1", "198.51.100.1", "203.0.113.9"),
    *("192.88.99.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "4294967295"),
    # numbers that are no address at all: nothing may be dialed for them
    *("4294967296", "256.0.0.1", "127.0.0.256", "0x", "0x7g.1", "08.0.0.1", "1_0.0.0.1"),
    # IPv6: unspecified, loopback, unique local, link-local, site-local, multicast, documentation, discard, Teredo
    *("[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[fc00::1]", "[fd12:3456::1]", "[fe80::1]", "[FE80::1]"),
    *("[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[3fff::1]", "[100::1]", "[2001::1]", "[2001:10::1]", "[5f00::1]"),
    # zone ids
    *("[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%251]"),
    # IPv4 within IPv6: mapped, compatible, translated (NAT64, well-known and local), 6to4, ISATAP-like
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::FFFF:10.0.0.1]", "[0:0:0:0:0:ffff:a9fe:a9fe]", "[::127.0.0.1]"),
    *("[::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::a00:1]", "[2002:7f00:1::]"),
    *("[2002:a9fe:a9fe::1]", "[::ffff:0:127.0.0.1]", "[fe80::5efe:10.0.0.1]"),
    # digits and dots of other scripts, which clients map to ASCII before they dial
    *("１２７.０.０.１", "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "①②⑦.⓪.⓪.①", "⑩.0.0.1", "⑩。⓪。⓪。①", "𝟙𝟘.0.0.1"),
    *("⑲②.⑯⑧.0.1", "１６９.２５４.１６９.２５４", "⑩.0.0.1.", "1０.0.0.1", "0ｘ7f.1", "１２７․１", "[::１]"),
    # names of this host
    *("localhost", "LOCALHOST", "localhost.", "LocalHost.", "api.localhost", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "localhost。"),
]  # fmt: skip

PUBLIC = [
    *("1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.215.14", "100.63.255.255", "100.128.0.1"),
    *("126.255.255.255", "128.0.0.1", "169.253.255.255", "169.255.0.1", "172.15.255.255", "172.32.0.1"),
    *("192.167.255.255", "192.169.0.1", "198.17.255.255", "198.20.0.1", "223.255.255.255", "0x08080808", "134744072"),
    *("[2606:4700:4700::1111]", "[2a00:1450:4001:80b::200e]", "[2001:4860:4860::8888]", "[::ffff:8.8.8.8]"),
    *("example.com", "EXAMPLE.COM", "example.com.", "api.example.co.kr", "xn--hq1bm8jm9l.com", "고객센터.com"),
    *("例え.テスト", "163.com", "1password.com", "7-eleven.co.kr", "0.pool.ntp.org", "127.0.0.1.example.com"),
    *("a_b.example.com", "localhost.example.com", "notlocalhost", "0xcafe.example", "intranet"),
]  # fmt: skip


@pytest.mark.parametrize("form", ["http://{}/", "HTTPS://{}:8443/hook?x=1#y"])
def test_private_addresses_are_refused(form: str) -> None:
    for host in PRIVATE:
        said = STRICT.objection(form.format(host))
        assert said is not None, host
        assert "private" in said or "not a URL" in said or "cannot be" in said, host


@pytest.mark.parametrize("form", ["http://{}", "https://{}:8443/hook?x=1"])
def test_public_ones_and_names_are_not(form: str) -> None:
    assert {host: STRICT.objection(form.format(host)) for host in PUBLIC} == dict.fromkeys(PUBLIC)


NO_URLS = [
    "",
    "   ",
    "example.com/hook",
    "/hook",
    "//example.com/hook",
    "http:",
    "http://",
    "http:///hook",
    "http:example.com",
    "http:/example.com",
    "https://:443/",
    "https://?x",
    "ftp://example.com",
    "file:///etc/passwd",
    "gopher://example.com:70/_",
    "javascript:alert(1)",
    "redis://example.com",
    "unix:///run/docker.sock",
    "http+unix://%2Frun%2Fdocker.sock/",
    "http://user@example.com/",
    "http://user:password@example.com/",
    "http://:password@example.com/",
    "http://@example.com/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://example.com\\.internal/",
    "http://exa mple.com/",
    "http://example.com/a b",
    " http://example.com/",
    "http://example.com/ ",
    "http://exam\tple.com/",
    "http://example.com/\nhook",
    "http://example.com/\r\nX-Injected: 1",
    "http://example.com/\x00",
    "http://example.com/\x7f",
    "http://\u200bexample.com/",
    "http://example.com/\u2028",
    "http://exa\u00admple.com/",
    "http://[::1/",
    "http://::1]/",
    "http://[not an address]/",
    "http://[1.2.3.4]/",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:-1/",
    "http://example.com:http/",
    "http://example.com:80:80/",
    "http://./",
    "http://.../",
    "http://" + "a" * 64 + ".고객.com/",
]


def test_what_is_no_url_to_call_is_refused() -> None:
    assert [url for url in NO_URLS if not STRICT.objection(url)] == []


def test_an_objection_reads_after_the_words_the_url() -> None:
    for url in ("ftp://x", "http://", "http://u@x", "http://10.0.0.1", "http://x:0", "http://[", "http://a b"):
        said = STRICT.objection(url)
        assert said is not None
        assert said.split(" ")[0] in ("must", "has", "is", "10.0.0.1")


def test_ports_of_other_services_are_refused_wherever_they_are() -> None:
    policy = allowing("127.0.0.0/8", "mail.internal")
    for port in BAD_PORTS:
        for host in ("example.com", "127.0.0.1", "mail.internal"):
            assert str(port) in (policy.objection(f"http://{host}:{port}/") or "")
    for port in (21, 22, 25, 53, 110, 143, 587, 2049, 6667):
        assert port in BAD_PORTS
    for port in (80, 443, 3000, 5000, 8000, 8080, 8443, 9000, 65535):
        assert policy.objection(f"http://127.0.0.1:{port}/") is None


def test_what_a_resolver_may_not_answer() -> None:
    assert [host for host in PRIVATE if STRICT.allows(host.strip("[]"))] == []


@pytest.mark.parametrize(
    "address", ["", "example.com", "1.2.3", "1.2.3.4/32", "::1::", "fe80::1%lo", "::ffff:10.0.0.1%1", "2606:4700::1%lo"]
)
def test_what_is_no_public_address_may_not_be_dialed(address: str) -> None:
    assert not STRICT.allows(address)


def test_public_addresses_may_be_dialed() -> None:
    for address in ("8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"):
        assert STRICT.allows(address)


def allowing(*entries: str) -> AddressPolicy:
    """The policy of a deployment that allows these."""
    return AddressPolicy.of(Settings(callback_allow=entries))


def test_allowed_networks_are_allowed_in_every_spelling_and_no_others() -> None:
    policy = allowing("127.0.0.0/8", "fd00::/8", "10.1.2.3")
    for host in (
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "localhost",
        "127.0.0.1.",
        "[::ffff:127.0.0.1]",
        "[fd12::1]",
        "10.1.2.3",
    ):
        assert policy.objection(f"http://{host}:8080/") is None, host
    for host in ("10.1.2.4", "[::1]", "169.254.169.254", "[fc00::1]", "128.0.0.1.nip", "0.0.0.0"):
        assert (policy.objection(f"http://{host}/") is None) == (host == "128.0.0.1.nip"), host
    assert policy.allows("127.8.8.8")
    assert not policy.allows("10.1.2.4")


@pytest.mark.parametrize("entry", ["orders.internal", "Orders.Internal", "orders.internal."])
@pytest.mark.parametrize("host", ["orders.internal", "ORDERS.internal", "orders.internal.", "orders。internal"])
def test_allowed_hosts_are_allowed_in_every_spelling(entry: str, host: str) -> None:
    policy = allowing(entry)
    assert policy.objection(f"http://{host}/") is None
    assert policy.trusts(host)
    assert not policy.trusts("other.internal")


def test_an_allowed_host_of_another_script_is_the_one_that_is_dialed() -> None:
    policy = allowing("주문.내부")
    assert policy.trusts("주문.내부")
    assert policy.trusts("주문.내부".encode("idna").decode().upper())


def test_an_allowed_host_may_be_an_address_by_name_only() -> None:
    policy = allowing("localhost")
    assert policy.objection("http://localhost:8080/") is None
    assert policy.objection("http://127.0.0.1:8080/")
    assert policy.objection("http://api.localhost/")


def test_a_host_that_cannot_be_is_named() -> None:
    with pytest.raises(errors.ConfigurationError, match="RINGBACK_CALLBACK_ALLOW"):
        allowing("고객" * 60 + ".internal")


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    for url in (text, f"http://{text}", f"http://{text}/", f"http://[{text}]/", f"http://1{text}/"):
        STRICT.objection(url)
    STRICT.allows(text)


@given(st.ip_addresses())
def test_what_is_global_and_unicast_is_allowed_and_nothing_else(address: object) -> None:
    text = str(address)
    host = f"[{text}]" if ":" in text else text
    assert (STRICT.objection(f"http://{host}/") is None) == STRICT.allows(text)
