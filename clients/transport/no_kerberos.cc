// For programs that take libssh as an archive: it refers to Kerberos, of which the distribution has no archive. We log in by
// keys alone, so none of this is ever called; each says that it is not available.
extern "C" {

#define SLIPWAY_NO_KERBEROS(name) \
  unsigned int name() { return 16U << 16; } /* GSS_S_UNAVAILABLE */

SLIPWAY_NO_KERBEROS(gss_accept_sec_context)
SLIPWAY_NO_KERBEROS(gss_acquire_cred)
SLIPWAY_NO_KERBEROS(gss_add_oid_set_member)
SLIPWAY_NO_KERBEROS(gss_create_empty_oid_set)
SLIPWAY_NO_KERBEROS(gss_display_name)
SLIPWAY_NO_KERBEROS(gss_display_status)
SLIPWAY_NO_KERBEROS(gss_get_mic)
SLIPWAY_NO_KERBEROS(gss_import_name)
SLIPWAY_NO_KERBEROS(gss_indicate_mechs)
SLIPWAY_NO_KERBEROS(gss_init_sec_context)
SLIPWAY_NO_KERBEROS(gss_inquire_cred)
SLIPWAY_NO_KERBEROS(gss_inquire_cred_by_mech)
SLIPWAY_NO_KERBEROS(gss_release_buffer)
SLIPWAY_NO_KERBEROS(gss_release_cred)
SLIPWAY_NO_KERBEROS(gss_release_name)
SLIPWAY_NO_KERBEROS(gss_release_oid_set)
SLIPWAY_NO_KERBEROS(gss_test_oid_set_member)
SLIPWAY_NO_KERBEROS(gss_verify_mic)
void* GSS_C_NT_HOSTBASED_SERVICE = nullptr;
void* GSS_C_NT_USER_NAME = nullptr;

}  // extern "C"
