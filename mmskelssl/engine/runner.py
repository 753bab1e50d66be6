"""mmengine's runner, which describes the machine once everything is built: a mistake should not lie below that."""
from mmengine.runner import Runner


class SkeletonRunner(Runner):
    """The runner of every run."""

    def _log_env(self, env_cfg: dict) -> None:
        self._env_cfg = env_cfg  # not now

    def log_environment(self) -> None:
        """Log the machine, the libraries and the config."""
        super()._log_env(self._env_cfg)
