/* libsrtp behind a pipe: the foreign judge of our SRTP.
 *
 * Arguments: suite (80 | 32 | 128 | 256: the latter GCM), master key and salt as hex digits, MKI as hex digits or "-".
 * Each request on stdin: one octet of command, two octets of length (big endian), the packet.
 *   'P' protect RTP, 'U' unprotect RTP, 'p' protect RTCP, 'u' unprotect RTCP.
 * Each answer on stdout: one octet of status (0: done), two octets of length, the packet; they leave with 'F', which has
 * no length, no packet and no answer.
 */
#include <srtp2/srtp.h>
#include <stdio.h>
#include <string.h>

static size_t unhex(const char *text, unsigned char *out) {
    size_t n = 0;
    unsigned byte;
    for (; text[2 * n] && sscanf(text + 2 * n, "%2x", &byte) == 1; n++)
        out[n] = (unsigned char)byte;
    return n;
}

static srtp_t session(int suite, unsigned char *key, unsigned char *mki, size_t mki_len, srtp_ssrc_type_t direction) {
    srtp_policy_t policy;
    srtp_t srtp = NULL;
    static srtp_master_key_t master;
    static srtp_master_key_t *masters[1] = {&master};
    memset(&policy, 0, sizeof policy);
    if (suite == 32)
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_32(&policy.rtp);
    else
        srtp_crypto_policy_set_rtp_default(&policy.rtp);
    srtp_crypto_policy_set_rtcp_default(&policy.rtcp);
    if (suite == 128) {
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
    } else if (suite == 256) {
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtp);
        srtp_crypto_policy_set_aes_gcm_256_16_auth(&policy.rtcp);
    }
    policy.ssrc.type = direction;
    policy.window_size = 128;
    if (mki_len) {
        master.key = key;
        master.mki_id = mki;
        master.mki_size = (unsigned)mki_len;
        policy.keys = masters;
        policy.num_master_keys = 1;
    } else {
        policy.key = key;
    }
    return srtp_create(&srtp, &policy) == srtp_err_status_ok ? srtp : NULL;
}

int main(int argc, char **argv) {
    unsigned char key[64] = {0}, mki[16] = {0}, head[3];
    static unsigned char packet[4096];
    size_t mki_len;
    srtp_t out, in;
    if (argc != 4 || unhex(argv[2], key) < 28 || srtp_init() != srtp_err_status_ok)
        return 2;
    mki_len = argv[3][0] == '-' ? 0 : unhex(argv[3], mki);
    int suite = 80;
    sscanf(argv[1], "%d", &suite);
    out = session(suite, key, mki, mki_len, ssrc_any_outbound);
    in = session(suite, key, mki, mki_len, ssrc_any_inbound);
    if (!out || !in)
        return 3;
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    while (fread(head, 1, 1, stdin) == 1) {
        if (head[0] == 'F') {
            fflush(stdout);
            continue;
        }
        if (fread(head + 1, 1, 2, stdin) != 2)
            return 4;
        int len = head[1] << 8 | head[2];
        unsigned use_mki = mki_len > 0;
        srtp_err_status_t status = srtp_err_status_fail;
        if (len > 2048 || fread(packet, 1, (size_t)len, stdin) != (size_t)len)
            return 4;
        switch (head[0]) {
        case 'P': status = srtp_protect_mki(out, packet, &len, use_mki, 0); break;
        case 'U': status = srtp_unprotect_mki(in, packet, &len, use_mki); break;
        case 'p': status = srtp_protect_rtcp_mki(out, packet, &len, use_mki, 0); break;
        case 'u': status = srtp_unprotect_rtcp_mki(in, packet, &len, use_mki); break;
        }
        if (status != srtp_err_status_ok)
            len = 0;
        head[0] = (unsigned char)status;
        head[1] = (unsigned char)(len >> 8);
        head[2] = (unsigned char)len;
        fwrite(head, 1, 3, stdout);
        fwrite(packet, 1, (size_t)len, stdout);
    }
    return 0;
}
