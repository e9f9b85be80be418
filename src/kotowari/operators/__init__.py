"""Linear maps with exact adjoints."""

from kotowari.operators.linear import Adjoint, Composed, LinearOperator, Scaled, Stacked, Summed

__all__ = ["Adjoint", "Composed", "LinearOperator", "Scaled", "Stacked", "Summed"]
