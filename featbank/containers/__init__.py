"""What the container of an audio file promises, checked against the bytes that are there."""

from featbank.containers.kinds import Container, check_container
from featbank.containers.opening import open_container, read_through
from featbank.containers.tags import skip_tags

__all__ = ["Container", "check_container", "open_container", "read_through", "skip_tags"]
