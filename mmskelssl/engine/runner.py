"""mmengine's runner, which describes the machine once everything is built: a mistake should not lie below that."""
from mmskelssl.engine.quiet_runner import QuietRunner


class SkeletonRunner(QuietRunner):
    """The runner of every run."""

    def _log_env(self, env_cfg: dict) -> None:
        self._env_cfg = env_cfg  # not now

    def log_environment(self) -> None:
        """Log the machine, the libraries and the config."""
        super()._log_env(self._env_cfg)
