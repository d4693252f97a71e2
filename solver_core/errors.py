"""The sentences a user can act on.  Everything raised for input from outside derives from SolverError."""


class SolverError(Exception):
    """Something given from outside cannot be used; the message says what was needed, what came and what to do."""


class ObservationError(SolverError):
    """The image, mask or target positions cannot be used."""


class SetupError(SolverError):
    """The mesh, camera, skeleton or start cannot be used."""


class WeightsError(SolverError):
    """A weights file is missing, damaged or made for something else."""


class ConfigError(SolverError):
    """A configuration, an option or a data folder cannot be used."""


class MissingDependency(SolverError):
    """An optional package is needed for what was asked; the message names the extra that brings it."""
