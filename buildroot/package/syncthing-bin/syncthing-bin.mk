################################################################################
#
# syncthing-bin
#
################################################################################

SYNCTHING_BIN_VERSION = 2.1.3
SYNCTHING_BIN_SOURCE = syncthing-linux-arm-v$(SYNCTHING_BIN_VERSION).tar.gz
SYNCTHING_BIN_SITE = https://github.com/syncthing/syncthing/releases/download/v$(SYNCTHING_BIN_VERSION)
SYNCTHING_BIN_LICENSE = MPL-2.0
SYNCTHING_BIN_LICENSE_FILES = LICENSE.txt
SYNCTHING_BIN_CPE_ID_VENDOR = syncthing
SYNCTHING_BIN_CPE_ID_PRODUCT = syncthing

# The engine starts it, with a home on the drive; nothing to configure here.
define SYNCTHING_BIN_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/syncthing $(TARGET_DIR)/usr/bin/syncthing
endef

$(eval $(generic-package))
