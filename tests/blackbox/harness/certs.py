"""Certificates for tests: an authority of one's own, and what it signs."""

import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.utcnow().replace(microsecond=0)
DAY = datetime.timedelta(days=1)


def make_key(kind="ec"):
    return ec.generate_private_key(ec.SECP256R1()) if kind == "ec" else \
        rsa.generate_private_key(public_exponent=65537, key_size=2048)


def subject(name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def alternative(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def pem_of(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


class Certificate:
    """Its files: .pem (certificate, and the authority's), .key, .both."""

    def __init__(self, folder, name, cert, key, issuer=None):
        self.cert, self.secret, self.folder, self.name = cert, key, folder, name
        chain = self.text = cert.public_bytes(serialization.Encoding.PEM)
        if issuer is not None:
            chain += issuer.text
        self.pem, self.key, self.both = (folder / f"{name}.{end}" for end in ("pem", "key", "both"))
        self.pem.write_bytes(chain)
        self.key.write_bytes(pem_of(key))
        self.both.write_bytes(chain + pem_of(key))

    @property
    def serial(self):
        return self.cert.serial_number

    def der(self):
        return self.cert.public_bytes(serialization.Encoding.DER)

    def fingerprint(self):
        return self.cert.fingerprint(hashes.SHA256()).hex()


class Authority(Certificate):
    def __init__(self, folder, name="Test Authority"):
        key = make_key()
        cert = self.builder(subject(name), subject(name), key, 0, 365) \
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True) \
            .sign(key, hashes.SHA256())
        super().__init__(folder, name.replace(" ", "-"), cert, key)

    @staticmethod
    def builder(name, issuer, key, first_day, last_day):
        return x509.CertificateBuilder().subject_name(name).issuer_name(issuer) \
            .public_key(key.public_key()).serial_number(x509.random_serial_number()) \
            .not_valid_before(NOW + first_day * DAY - DAY / 24).not_valid_after(NOW + last_day * DAY)

    def issue(self, name, *names, kind="ec", first_day=-1, last_day=30, file=None):
        """A certificate of this subject, for these names (none: for the subject's)."""
        key = make_key(kind)
        cert = self.builder(subject(name), self.cert.subject, key, first_day, last_day) \
            .add_extension(x509.SubjectAlternativeName([alternative(n) for n in names or [name]]),
                           critical=False) \
            .sign(self.secret, hashes.SHA256())
        return Certificate(self.folder, file or name, cert, key, self)

    def revoke(self, *certificates):
        """A file with the list of what is revoked."""
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.cert.subject) \
            .last_update(NOW - DAY).next_update(NOW + 30 * DAY)
        for c in certificates:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(c.serial)
                .revocation_date(NOW - DAY).build())
        path = self.folder / "revoked.crl"
        crl = builder.sign(self.secret, hashes.SHA256())
        path.write_bytes(crl.public_bytes(serialization.Encoding.PEM))
        return path

    def staple(self, certificate, last_day=7):
        """A file with an OCSP response that says the certificate is good."""
        response = ocsp.OCSPResponseBuilder().add_response(
            cert=certificate.cert, issuer=self.cert, algorithm=hashes.SHA1(),
            cert_status=ocsp.OCSPCertStatus.GOOD, this_update=NOW - 8 * DAY,
            next_update=NOW + last_day * DAY, revocation_time=None, revocation_reason=None) \
            .responder_id(ocsp.OCSPResponderEncoding.HASH, self.cert).sign(self.secret, hashes.SHA256())
        path = self.folder / f"{certificate.name}.ocsp"
        path.write_bytes(response.public_bytes(serialization.Encoding.DER))
        return path
