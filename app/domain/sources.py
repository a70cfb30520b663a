"""Addresses that archives are fetched from: web servers, and the buckets that the operator has opened."""

import re
from dataclasses import dataclass
from typing import Annotated, NamedTuple, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from app.domain.errors import BucketRefused
from app.domain.urls import normal_web_url

MOST_CHARACTERS = 8192
"""A signed address with a session token has some two thousand."""
_S3 = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


class S3Address(NamedTuple):
    """An object in a bucket."""

    bucket: str
    key: str


def _normal(value: str) -> str:
    if not is_s3(value):
        such_as = "https://example.com/images.zip or s3://bucket/images.zip"
        return normal_web_url(value, such_as=such_as, instead="send a signed address", most=MOST_CHARACTERS)
    bucket, key = s3_address(value)
    if not _BUCKET.fullmatch(bucket) or not key or key.endswith("/"):
        raise ValueError("must name a bucket and an object in it, as s3://bucket/images.zip does")
    if _CONTROLS.search(key) or "?" in key or {".", ".."} & set(key.split("/")):
        raise ValueError("must name the object by its plain key: no control character, no '?', no '.' or '..'")
    return f"{_S3}{bucket}/{key}"


SourceUrl = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MOST_CHARACTERS),
    AfterValidator(_normal),
    Field(json_schema_extra={"format": "uri", "pattern": "^([Hh][Tt][Tt][Pp][Ss]?|[Ss]3)://"}),
]
"""An http or https address without user name, password or fragment, or an object in a bucket. What its query says may
be secret: whoever shows it shows `shown_url` of it."""


def is_s3(url: str) -> bool:
    return url[: len(_S3)].lower() == _S3


def s3_address(url: str) -> S3Address:
    """The bucket and the key, as they were sent."""
    bucket, _, key = url[len(_S3) :].partition("/")
    return S3Address(bucket, key)


def shown_url(url: str) -> str:
    """Without what may be secret in it: query, user name, password, fragment."""
    if is_s3(url):
        return url
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def file_name(url: str) -> str:
    """The last part of the path; empty where there is none."""
    return unquote(urlsplit(url).path if not is_s3(url) else s3_address(url).key).rstrip("/").rpartition("/")[2]


def _folder(key: str) -> str:
    return f"{key}/" if key else ""


@dataclass(frozen=True, slots=True)
class Buckets:
    """What may be fetched with the operator's credentials: whole buckets, and what lies below a prefix."""

    allowed: tuple[S3Address, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a list with commas: `photos, shared/datasets/`.

        Raises:
            ValueError: naming the entry that is none.
        """
        found = []
        for entry in filter(None, map(str.strip, text.split(","))):
            bucket, _, prefix = entry.removeprefix(_S3).partition("/")
            if not _BUCKET.fullmatch(bucket):
                raise ValueError(f"'{entry}' is neither a bucket nor a prefix in one")
            found.append(S3Address(bucket, prefix.strip("/")))
        return cls(tuple(found))

    def overlap(self, url: str) -> bool:
        """Whether something below this address, of a folder in a bucket, may be fetched."""
        bucket, folder = s3_address(url.rstrip("/"))
        return any(
            opened.bucket == bucket
            and (f"{folder}/".startswith(_folder(opened.key)) or _folder(opened.key).startswith(_folder(folder)))
            for opened in self.allowed
        )

    def require(self, url: str, param: str | None = None) -> None:
        """
        Raises:
            BucketRefused: the operator has not opened this bucket, or not this part of it.
        """
        asked = s3_address(url)
        if not any(asked.bucket == bucket and asked.key.startswith(_folder(prefix)) for bucket, prefix in self.allowed):
            raise BucketRefused(
                f"The service may not read s3://{asked.bucket}/ there.",
                hint="The operator opens a bucket, or a prefix in it, with TDMR_SOURCE_BUCKETS; a signed https "
                "address of the object needs no permission of theirs.",
                param=param,
            )
