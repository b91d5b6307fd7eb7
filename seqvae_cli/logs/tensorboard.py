"""A log for TensorBoard: an event file a training, which `tensorboard --logdir` reads while it grows."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

from seqvae_cli.logs.logger import Log


class TensorBoard:
    """Writes the summaries of `torch.utils.tensorboard` at once, in the thread of the training.

    Its `SummaryWriter` would write in a thread that prints a traceback where the disk is full.
    """

    live: ClassVar[bool] = True

    def __init__(self, log: Log) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter
        from torch.utils.tensorboard import summary

        self._event: Any = event_pb2.Event
        self._summary: Any = summary
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self._file = open(log.folder / name, "xb")  # noqa: SIM115
        self._records: Any = RecordWriter(self._file)
        experiment, session, self._end = self._summary.hparams(dict(log.settings), {"result/best_neg_elbo": 0.0})
        try:
            self._write(file_version="brain.Event:2")
            if log.step:
                # TensorBoard drops what earlier files have from this step on: the training is about to repeat it.
                start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
                self._write(step=log.step + 1, session_log=start)
            self._write(summary=experiment)
            self._write(summary=session)
            self.flush()
        except OSError:
            with suppress(OSError):
                self.close()
            raise

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._write(step=step, summary=self._summary.scalar(name, value))
        self.flush()

    def text(self, step: int, name: str, text: str) -> None:
        code = "".join(f"    {line}\n" for line in text.splitlines())  # shown as it is, not read as Markdown
        self._write(step=step, summary=self._summary.text(name, code))

    def result(self, step: int, values: Mapping[str, float]) -> None:
        self.figures(step, values)
        self._write(summary=self._end)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _write(self, **fields: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **fields).SerializeToString())
