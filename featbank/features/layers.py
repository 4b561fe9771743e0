"""Selection of an encoder's layers, and the feature names that they are given under."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose
from typing import Any

import torch

from featbank.errors import ConfigError
from featbank.features.base import Output, check_feature_names

ALL, UNIFORM, FINAL = "all", "uniform", "final"


class Layers:
    """Selects, stacks and mixes the hidden states of an encoder.

    State 0 is what the first layer takes, state `n` what layer `n` gives. A feature is one of

    - a number: that state, (T, D);
    - `all`: every state, (T, L + 1, D), for a mix that is learned in training;
    - `uniform`: their mean, (T, D);
    - a list of L + 1 numbers: their weighted sum, (T, D), as SUPERB's probes learn it (Yang et al.
      2021, arXiv:2105.01051); the weights sum to 1, as they do after that softmax;
    - `final`: the output of the encoder, behind its last norm where it has one, (T, D).

    A name with a `*` stands for several features, (T, D) each, of one pass: `{wavlm-l*: [6, 9]}`
    for states 6 and 9 under the names `wavlm-l6` and `wavlm-l9`, `{wavlm-l*: all}` for every state.

    Args:
        features: feature name -> choice; or a name with a `*` -> `all`, or a list of states.
        num_layers: of the encoder, L.
        dimension: D.
        where: names the encoder, for errors.

    Raises:
        ConfigError: no feature, a feature called `id`, or a choice that there is not.
    """

    def __init__(
        self, features: Mapping[str, Any], *, num_layers: int, dimension: int, where: str
    ) -> None:
        if not isinstance(features, Mapping) or not features:
            raise ConfigError(
                f"layers of {where}",
                expected="feature name -> layer, such as {wavlm: 9}",
                got=repr(features),
            )
        self._num_states = num_layers + 1
        self._dimension = dimension
        self._choices: dict[str, Any] = {}
        for pattern, several in features.items():
            said = f"layers of {where}: {pattern}"
            for name, choice in self._named(str(pattern), several, said):
                if name in self._choices:
                    raise ConfigError(said, expected="each name once", got=f"{name} twice")
                self._choices[name] = self._checked(choice, said)
        check_feature_names(self._choices)

    @property
    def outputs(self) -> dict[str, Output]:
        """Shape of each output, by feature name."""
        one, every = Output((self._dimension,)), Output((self._num_states, self._dimension))
        return {name: every if choice == ALL else one for name, choice in self._choices.items()}

    def chosen(self, feature: str | None = None) -> Any:
        """Return the choice of a feature, or of all by name, in the one form that each has."""
        return dict(self._choices) if feature is None else self._choices[feature]

    @property
    def deepest(self) -> int:
        """Number of layers that must be run."""
        last = self._num_states - 1
        return max(choice if type(choice) is int else last for choice in self._choices.values())

    @property
    def wants_final(self) -> bool:
        """Whether the output behind the last norm is asked for."""
        return FINAL in self._choices.values()

    def __call__(
        self, states: Sequence[torch.Tensor], final: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Return the features.

        Args:
            states: from 0 to `deepest`, each (..., T, D); before the last norm.
            final: the output behind it, where `wants_final`.

        Returns:
            By name (..., T, D), or (..., T, L + 1, D) for `all`; float32.
        """
        return {name: self._take(states, final, one) for name, one in self._choices.items()}

    def _take(
        self, states: Sequence[torch.Tensor], final: torch.Tensor | None, choice: Any
    ) -> torch.Tensor:
        if type(choice) is int:
            return states[choice].float()
        if choice == FINAL:
            assert final is not None
            return final.float()
        if choice == ALL:
            return torch.stack([state.float() for state in states], dim=-2)
        total = torch.zeros_like(states[0], dtype=torch.float32)
        for weight, state in zip(choice, states, strict=True):  # one at a time: in bounded memory
            total += weight * state.float()
        return total

    def _named(self, pattern: str, choice: Any, where: str) -> list[tuple[str, Any]]:
        """Return names and choices: one, or those that a name with a `*` stands for."""
        if "*" not in pattern:
            return [(pattern, choice)]
        states = range(self._num_states) if choice == ALL else choice
        numbers = isinstance(states, Sequence) and all(type(one) is int for one in states)
        if pattern.count("*") != 1 or isinstance(states, str) or not numbers or not states:
            raise ConfigError(
                where,
                expected=f"one * in the name, for {ALL} or a list of layers: [6, 9]",
                got=repr(choice),
            )
        return [(pattern.replace("*", str(number)), number) for number in states]

    def _checked(self, choice: Any, where: str) -> Any:
        last = self._num_states - 1
        if isinstance(choice, float) and choice.is_integer():
            choice = int(choice)
        if choice in (ALL, FINAL) or (type(choice) is int and 0 <= choice <= last):
            return choice
        if choice == UNIFORM:
            return [1 / self._num_states] * self._num_states
        if isinstance(choice, Sequence) and not isinstance(choice, str):
            weights = [float(weight) for weight in choice if isinstance(weight, (int, float))]
            if len(weights) == len(choice) == self._num_states and isclose(
                sum(weights), 1, abs_tol=1e-3
            ):
                return weights
        raise ConfigError(
            where,
            expected=f"a layer from 0 to {last}, {ALL}, {UNIFORM}, {FINAL}, "
            f"or {self._num_states} weights whose sum is 1",
            got=repr(choice),
        )
