include $(sort $(wildcard $(BR2_EXTERNAL_LARDER_PATH)/package/*/*.mk))

# Buildroot checks every download against the package's hash file, but of a
# package that has no hash file it only warns, whatever
# BR2_DOWNLOAD_FORCE_CHECK_HASHES says. Larder's build stops instead, before
# anything is downloaded.
LARDER_ALL_PACKAGES = \
	$(sort $(foreach p,$(PACKAGES) $(TARGETS_ROOTFS),\
		$(p) $($(call UPPERCASE,$(p))_FINAL_RECURSIVE_DEPENDENCIES)))
LARDER_DOWNLOADED = \
	$(foreach p,$(LARDER_ALL_PACKAGES),\
		$(if $($(call UPPERCASE,$(p))_SOURCE),\
			$(if $(filter local,$($(call UPPERCASE,$(p))_SITE_METHOD)),,$(p))))
LARDER_UNHASHED = \
	$(strip $(foreach p,$(LARDER_DOWNLOADED),\
		$(if $(wildcard $($(call UPPERCASE,$(p))_HASH_FILES)),,$(p))))

.PHONY: larder-check-hashes
larder-check-hashes:
	$(Q)if [ -n "$(LARDER_UNHASHED)" ]; then \
		echo "larder: these packages have no hash file: $(LARDER_UNHASHED)" >&2; \
		echo "larder: add one under patches/<package>/ of the external tree" >&2; \
		exit 1; \
	fi

prepare: larder-check-hashes
