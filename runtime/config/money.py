"""Who takes payments, and what is given away."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr

from limner.runtime.config.section import Section, WebAddress


class MoneySettings(Section):
    """Processors, trials and referrals."""

    sandbox_payments: bool | None = Field(
        None, description="offer the sandbox processor, which takes no money; empty: only in development"
    )
    sandbox_secret: SecretStr = Field(SecretStr(""), description="signs the sandbox processor's webhooks")
    sandbox_url: WebAddress | None = Field(None, description="where the sandbox processor lives; empty: this very site")

    btcpay_url: WebAddress | None = Field(
        None, description="the address of your BTCPay Server; empty: it takes no payments here"
    )
    btcpay_store: str = Field("", description="the id of the store there, as in the address of its settings")
    btcpay_api_key: SecretStr | None = Field(None, description="an API key for that store alone")
    btcpay_webhook_secret: SecretStr | None = Field(
        None, description="signs its webhooks; empty: they are refused, and payments are found by asking"
    )
    btcpay_methods: str = Field(
        "", description="payment methods to offer, comma-separated, such as BTC-CHAIN,BTC-LN; empty: all of the store"
    )
    btcpay_speed: Literal["HighSpeed", "MediumSpeed", "LowMediumSpeed", "LowSpeed"] = Field(
        "MediumSpeed", description="confirmations until a payment is final: 0, 1, 2 or 6"
    )
    btcpay_tolerance: float = Field(
        0, ge=0, le=100, description="per cent of the amount that may be missing, for fees that wallets take off"
    )
    btcpay_minutes: int = Field(30, ge=5, le=1440, description="minutes until an unpaid invoice runs out there")

    stripe_url: WebAddress = Field("https://api.stripe.com", description="the base of Stripe's API")
    stripe_api_key: SecretStr | None = Field(
        None, description="Stripe's secret or restricted key; empty: it takes no payments here"
    )
    stripe_webhook_secret: SecretStr | None = Field(
        None, description="signs its webhooks; empty: they are refused, and payments are found by asking"
    )

    trial_credits: int = Field(
        0, ge=0, le=1000, description="credits with which a new account may try the studio once; 0: no trial"
    )
    trial_days: int = Field(7, ge=1, le=90, description="days that a trial lasts")
    trial_per_address: int = Field(1, ge=1, le=1000, description="trials from one address (IPv6: /64) in a month")
    trial_per_subnet: int = Field(5, ge=1, le=10_000, description="trials from one network (IPv4: /24) in a month")
    trial_per_day: int = Field(50, ge=1, le=100_000, description="trials in a day, of all together")
    referral_credits: int = Field(
        0,
        ge=0,
        le=1000,
        description="credits for whoever's link brought somebody who paid a first order; 0: nobody is thanked",
    )

    @property
    def takes_sandbox_payments(self) -> bool:
        return self.sandbox_payments if self.sandbox_payments is not None else self.env == "development"

    @property
    def takes_btcpay_payments(self) -> bool:
        return bool(self.btcpay_url and self.btcpay_store and self.btcpay_api_key)

    @property
    def takes_stripe_payments(self) -> bool:
        return self.stripe_api_key is not None
