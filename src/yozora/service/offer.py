"""Everything that can be asked for here: models on this machine, and those of providers."""

from __future__ import annotations

from collections.abc import Mapping

from yozora.errors import YozoraError
from yozora.service.providers import Providers
from yozora.service.registry import Models
from yozora.service.wishes import Model


class Offer:
    """Everything that can be asked for: the models on this machine, then those of providers.

    Raises YozoraError when two have one name.
    """

    def __init__(self, local: Models, providers: Providers) -> None:
        self.local, self.remote = local, providers.models
        if both := set(local.names) & set(self.remote):
            raise YozoraError(
                f"A model on this machine and one of a provider are both called {', '.join(sorted(both))}: give the "
                "provider's another name with 'here'."
            )

    @property
    def names(self) -> list[str]:
        """All of them; the first is taken where none is asked for."""
        return [*self.local.names, *self.remote]

    def describe(self, name: str) -> Model:
        """What a model can be asked for. Raises YozoraError when there is none."""
        return self.remote[name] if name in self.remote else self.local.describe(name)

    def described(self) -> Mapping[str, Model]:
        """All of them."""
        return {name: self.describe(name) for name in self.names}
