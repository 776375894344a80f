"""One trial: the processes that run it, and what their end means.

    driver (`embft sweep`)        scheduler/ gives trials to Ray, whose actors take turns
       │   ▲
       │   └── broker ◄── actor   (scheduler/broker.py) the actor asks the driver to run its trial;
       │                          on other machines and GPUs it does all that follows itself
       ▼
    launcher.py                   starts workers for a trial until it has a record
       │ warm_process.py
       ▼
    warm process                  has imported what workers need (preload.py), and only forks
       │ fork
       ▼
    worker                        entry.py, worker.py: one step, then its memory is gone
       1. train_step.py           train, save, write reference embeddings
       2. score_step.py           load what was saved, verify, score, write the record

While a worker runs, `monitor.py` watches its memory, time and signs of life; when it has ended,
`exits.py` and `failure.py` say what that means. `inputs.py` is what both steps read. `measure.py`
times a few steps of each kind of trial; `evaluate.py`, `merge.py` and `maps.py` work on one
finished model. Schedules nothing, ranks nothing, and knows no Ray.
"""
