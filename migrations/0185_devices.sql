-- A device's name is its member's: whoever knows it takes nothing from anybody else.
ALTER TABLE messaging.subscription
    DROP CONSTRAINT subscription_device_once,
    ADD CONSTRAINT subscription_device_once UNIQUE (device, member);
