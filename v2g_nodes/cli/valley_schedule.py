"""The schedules of a fleet as Parquet or CSV: a row per vehicle, a column per slot, block by block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from v2g_nodes.cli.valley_inputs import Inputs
from v2g_nodes.core.errors import InputError
from v2g_nodes.planning.valley.plan import ValleyPlan, schedule_of
from v2g_nodes.planning.valley.workers import Workers


def write_schedule(path: str, workers: Workers, inputs: Inputs, plan: ValleyPlan) -> None:
    """Write power_kw of every vehicle and slot, > 0 charges; a file that is there is replaced when all is written.

    Args:
        path: ends in .parquet or .csv.
        workers: with the fleet.
        inputs: for the names.
        plan: whose price is answered.

    Raises:
        InputError: the file can't be written.
    """
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    slots = inputs.cost.slots
    width = len(str(slots - 1))
    names = [f"power_kw_{slot:0{width}d}" for slot in range(slots)]
    schema = pa.schema([("vehicle", pa.string()), *((name, pa.float32()) for name in names)])
    writer: Any = pyarrow.parquet.ParquetWriter if path.endswith(".parquet") else pyarrow.csv.CSVWriter
    part = Path(f"{path}.part")
    done = 0
    try:
        with writer(str(part), schema) as file:
            for power in workers.each(schedule_of, plan.course.price):
                called = [_name(inputs, done + k) for k in range(len(power))]
                columns = [pa.array(called), *(pa.array(np.ascontiguousarray(column)) for column in power.T)]
                file.write_table(pa.Table.from_arrays(columns, schema=schema))
                done += len(power)
        part.replace(path)
    except OSError as error:
        raise InputError(f"--schedule {path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def _name(inputs: Inputs, vehicle: int) -> str:
    return inputs.stays.fleet.name(vehicle) if inputs.stays is not None else f"vehicle {vehicle + 1}"
