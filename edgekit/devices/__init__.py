"""What edgekit knows about devices: target profiles, and where each operator of a model runs."""

from edgekit.devices.profile import Fact, Profile
from edgekit.devices.profiles import Profiles, load_profiles, validate_profile

__all__ = ["Fact", "Profile", "Profiles", "load_profiles", "validate_profile"]
