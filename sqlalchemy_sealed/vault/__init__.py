"""
HashiCorp Vault and OpenBao: logging in, the transit engine, its wanted state, policies.

    from sqlalchemy_sealed.providers.vault import VaultTransit
    from sqlalchemy_sealed.vault import AppRoleAuth, Vault

    provider = VaultTransit(Vault(auth=AppRoleAuth(role_id, secret_id)))
"""

from __future__ import annotations

from .auth import AppRoleAuth, Auth, KubernetesAuth, TokenAuth
from .client import Vault
from .desired import DesiredKey, Difference, apply, plan
from .policies import KvPlace, Role, policy
from .transit import TransitKey

__all__ = [
    "AppRoleAuth",
    "Auth",
    "DesiredKey",
    "Difference",
    "KubernetesAuth",
    "KvPlace",
    "Role",
    "TokenAuth",
    "TransitKey",
    "Vault",
    "apply",
    "plan",
    "policy",
]
