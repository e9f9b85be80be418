"""The final regressions: on the features of the encoder of all internal subjects, kept for maps and new volumes."""

from kotowari.studies.brain.comparison import labelled
from kotowari.studies.brain.job import BrainJob
from kotowari.studies.brain.model.regression_cv import model_for

__all__ = ["fit_regressions"]


def fit_regressions(job: BrainJob) -> None:
    """Fit and keep one regression a target."""
    features = job.encoder().transform(job.store)
    for question in job.questions:
        target, there = question.target, question.subjects.rows(question.target.rows)
        model = model_for(job.model(), target)
        model.fit(
            features[target.rows],
            labelled(target),
            sites=there.sites,
            covariates=there.covariates,
            groups=there.groups,
        )
        model.save(job.regression_folder(question))
