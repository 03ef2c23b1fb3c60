################################################################################
#
# larder
#
################################################################################

# The version lives in Cargo.toml and nowhere else.
LARDER_TOP = $(BR2_EXTERNAL_LARDER_PATH)/..
LARDER_VERSION = $(shell sed -n '/^version = /{s/^version = "\(.*\)"$$/\1/p;q;}' $(LARDER_TOP)/Cargo.toml)
LARDER_LICENSE = MIT or Apache-2.0
LARDER_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE

# Where "make binary" and cross leave the binary. Only the binary itself is
# taken from that folder, which holds gigabytes of intermediate files.
LARDER_SITE = $(or $(LARDER_BINARY_DIR),$(LARDER_TOP)/target/armv7-unknown-linux-gnueabihf/release)
LARDER_SITE_METHOD = local
LARDER_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = --include=/larder --exclude='*'

define LARDER_CHECK_BINARY
	$(Q)if [ ! -f "$(LARDER_SITE)/larder" ]; then \
		echo "larder: there is no binary in $(LARDER_SITE);" \
			"run 'make binary' in the Larder sources first" >&2; \
		exit 1; \
	fi
endef
LARDER_PRE_RSYNC_HOOKS += LARDER_CHECK_BINARY

define LARDER_COPY_LICENSES
	$(foreach f,$(LARDER_LICENSE_FILES),\
		$(INSTALL) -m 0644 -t $(@D) $(LARDER_TOP)/$(f)$(sep))
endef
LARDER_POST_RSYNC_HOOKS += LARDER_COPY_LICENSES

# init starts it: the line is in the overlay's inittab, which both builders
# of the card share, so there is no script in init.d here.
define LARDER_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/larder $(TARGET_DIR)/usr/bin/larder
	$(INSTALL) -d -m 0755 $(TARGET_DIR)/boot $(TARGET_DIR)/drive
endef

# Engine and sync engine run as this user, so files that Syncthing makes
# belong to the engine. No password, no shell; its state is on the drive.
define LARDER_USERS
	larder 1000 larder 1000 * /run/larder - - Larder engine and sync engine
endef

# The mount points: when nothing is mounted there, nobody but root writes.
# BusyBox's own package makes it run as root for everybody, for su and the
# like; nobody here needs that.
define LARDER_PERMISSIONS
	/usr/bin/larder f 0755 0 0 - - - - -
	/drive d 0755 0 0 - - - - -
	/boot d 0755 0 0 - - - - -
	/bin/busybox f 0755 0 0 - - - - -
endef

$(eval $(generic-package))
