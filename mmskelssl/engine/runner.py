"""mmengine's runner, which logs the environment after everything is built, so that errors are not buried below it."""
from mmskelssl.engine.quiet_runner import QuietRunner


class SkeletonRunner(QuietRunner):
    """The runner that all training uses.

    Attributes:
        started: Whether the loop has begun. Before, weights are initialised and hooks are set up, as the config says.
    """
    started = False

    def call_hook(self, fn_name: str, **kwargs) -> None:
        super().call_hook(fn_name, **kwargs)
        self.started |= fn_name == 'before_train'

    def _log_env(self, env_cfg: dict) -> None:
        self._env_cfg = env_cfg  # logged later

    def log_environment(self) -> None:
        """Log the machine, the libraries and the config."""
        super()._log_env(self._env_cfg)
