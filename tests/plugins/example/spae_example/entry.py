"""What `ls` shows of the task. Listing imports this module, so it imports nothing heavy."""

from tasks.registry import TaskEntry

SAME_OR_NOT = TaskEntry(
    name="same-or-not",
    target="spae_example.task:SameOrNot",
    title="Are two images of one class?",
    paper_table="",
    settings=("pairs",),
    metric="accuracy",
    default_data="pictograms",
    scorings=("exact", "ranked"),
    styles=("gpt",),
)
