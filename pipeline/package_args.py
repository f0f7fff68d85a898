"""What remote Beam workers are told to install."""

from pipeline.fingerprint import ROOT


def package_args() -> list[str]:
    """This project. Without it, TFX packs its own sources anew for each component."""
    setup_file = ROOT / "setup.py"
    return [f"--setup_file={setup_file}"] if setup_file.is_file() else []
