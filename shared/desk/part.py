"""What every part of the desk is: frozen values, and no key that it does not know. Pure."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.desk.values import SecretName

Language = Literal["en", "es", "pt-BR"]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Secret(Part):
    """Where a password is found; the desk never contains one."""

    secret: SecretName = Field(description="Name of a file in the folder CARTEIRO_SECRETS.")
