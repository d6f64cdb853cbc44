"""What every record of ours is: made once, never changed, and without fields that are not declared."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A record that is made once and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
