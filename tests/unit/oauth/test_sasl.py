from base64 import b64decode

from shared.oauth.sasl import bearer


def test_xoauth2_as_google_and_microsoft_write_it() -> None:
    said = bearer({"PLAIN", "XOAUTH2", "OAUTHBEARER"}, "caixa@empresa.test", "ya29.x", "imap.test", 993)
    assert said is not None
    assert (said.mechanism, said.end) == ("XOAUTH2", b"")
    assert b64decode(said.initial) == b"user=caixa@empresa.test\x01auth=Bearer ya29.x\x01\x01"


def test_oauthbearer_of_rfc_7628_section_4_1() -> None:
    said = bearer(
        {"OAUTHBEARER"}, "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", "server.example.com", 143
    )
    assert said is not None
    assert (said.mechanism, b64decode(said.end)) == ("OAUTHBEARER", b"\x01")
    assert said.initial == (
        b"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9MTQzAWF1dGg9QmVhcmVyIHZGOWRmdDRxbVRjMk5"
        b"2YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB"
    )


def test_a_name_cannot_end_its_field() -> None:
    said = bearer({"OAUTHBEARER"}, "a,b=c", "t", "h", 1)
    assert said is not None
    assert b64decode(said.initial).startswith(b"n,a=a=2Cb=3Dc,\x01")


def test_a_server_that_takes_no_token() -> None:
    assert bearer({"PLAIN", "LOGIN"}, "u", "t", "h", 1) is None
