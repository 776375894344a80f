"""Training only the rows of the embedding table that the training texts touch.

AdamW leaves a row that never has a gradient exactly as it is when nothing decays it. Most of a
vocabulary never occurs in a fine-tuning set, but its gradient would be zeroed, clipped, and read by
the optimizer in every step: in MiniLM that is half of all parameters.
"""

from __future__ import annotations

import torch


class UsedRows(torch.nn.Module):
    """An embedding table (v, width) of which the rows `used`, shape (k,), are trained.

    In training mode it looks up the trained rows, and only these token ids may come. In evaluation
    mode it is the whole table.
    """

    used: torch.Tensor
    position: torch.Tensor

    def __init__(self, table: torch.nn.Embedding, used: torch.Tensor) -> None:
        super().__init__()
        self.table = table
        self.rows = torch.nn.Parameter(table.weight.detach()[used].clone())
        position = torch.zeros(table.num_embeddings, dtype=torch.long)
        position[used] = torch.arange(len(used))
        self.register_buffer("used", used, persistent=False)
        self.register_buffer("position", position.to(used.device), persistent=False)
        self.padding = None
        if table.padding_idx is not None and bool((used == table.padding_idx).any()):
            self.padding = int(position[table.padding_idx])
        table.weight.requires_grad_(False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Look up token ids, shape (...), as embeddings, shape (..., width)."""
        if not self.training:
            found: torch.Tensor = self.table(ids)
            return found
        return torch.nn.functional.embedding(self.position[ids], self.rows, self.padding)

    def train(self, mode: bool = True) -> UsedRows:
        """Leaving training mode writes the trained rows back into the table."""
        if not mode:
            self.write_back()
        return super().train(mode)

    @torch.no_grad()
    def write_back(self) -> None:
        """Put the trained rows into the table."""
        self.table.weight.index_copy_(0, self.used, self.rows)


def train_used_rows(model: torch.nn.Module, used: torch.Tensor) -> UsedRows | None:
    """Have a model's input embeddings train these rows alone; None where that cannot be done.

    model: a transformers model. It cannot be done for frozen tables, and for weights that another
    layer shares.
    """
    table = model.get_input_embeddings()  # type: ignore[operator]  # a transformers model has it
    if type(table) is not torch.nn.Embedding or not table.weight.requires_grad:
        return None
    holders = sum(
        parameter is table.weight
        for module in model.modules()
        for parameter in module.parameters(recurse=False)
    )
    if holders != 1 or table.max_norm is not None or table.scale_grad_by_freq:
        return None
    rows = UsedRows(table, used.to(table.weight.device))
    model.set_input_embeddings(rows)  # type: ignore[operator]  # a transformers model has it
    return rows


def restore_table(model: torch.nn.Module, rows: UsedRows) -> None:
    """Put the whole table back in its place, with what was trained."""
    rows.write_back()
    rows.table.weight.requires_grad_(True)
    model.set_input_embeddings(rows.table)  # type: ignore[operator]  # a transformers model has it
