// The checks that stand between the operator's files and the first handshake. One list of them, seen in two ways:
// load_certificate is what start and reload use, certificate_report explains the same findings to a human. Blocks on
// the files: start-up or control thread. Never prompts, never throws for what a file holds.
#pragma once

#include "config/model.hpp"
#include "config/problem.hpp"
#include "tls/certificate.hpp"
#include "tls/content_digest.hpp"
#include "tls/pem_pair.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::tls {

struct certificate_load {
    std::shared_ptr<const certificate> value; // empty when there is any problem
    config::problems problems;                // pointers: that of the pair + /sslCertPemFile, /sslKeyPemFile, ...
    std::vector<std::string> warnings;        // what clients will object to, each with what to do; log them loudly
    bool expired_or_not_yet_valid = false;    // the leaf, at `now`; also a warning. The caller knows refuse_expired
    bool chain_incomplete = false;            // an issuer that clients need is missing; also a warning
    content_digest content{};                 // what the files held, or why they could not be read
};

// giving_way: between its steps, of 0.1 to 0.3 ms, to whoever wants the core (base::give_way). On one that requests
// fill that takes tens of milliseconds for a pair, so it is for a few at a time.
enum class pace : std::uint8_t { at_once, giving_way };

// Reads and checks the pair and collects every problem of both files. `config_file` is what the problems name as their
// file.
certificate_load load_certificate(const config::certificate_files&, const std::string& config_file,
                                  certificate::time_point now, pace = pace::at_once);

// The digest that load_certificate of the same files would give, without parsing what they hold.
content_digest read_content(const config::certificate_files&);

// A name that clients can connect to: a host name without wildcard, or an IP literal without brackets.
bool valid_cname(std::string_view);

// ---- the findings behind it --------------------------------------------------------------------------------------

// Everything that is checked, in the order in which it is told.
enum class check : std::uint8_t {
    layout,           // sslSecret holds one pair
    certificate_file, // X.509 in PEM
    key_file,         // a private key in PEM, without passphrase
    key_mode,         // not readable by others
    key_soundness,    // what it signs, its own public half verifies
    key_type,
    key_match, // its public half is the leaf's
    strength,  // the leaf's key, all signatures, the issuers' keys
    chain,
    dates,
    purpose,
    cname,
};

struct finding {
    check by;
    bool defect; // a start refuses the pair; else a warning
    std::string message;
};

// signing: a private key is tried by signing with it, a millisecond at most. arithmetic: also by its numbers, as
// `openssl rsa -check` does, up to a second for a long RSA key.
enum class key_trial : std::uint8_t { signing, arithmetic };

// A pair as far as it could be read, and all that is wrong with it.
struct examined_pair {
    pem_pair source;
    std::vector<x509_ptr> certificates; // as in the file; empty when it could not be read
    pkey_ptr key;                       // empty when it could not be read
    std::vector<finding> findings;      // in the order of `check`
    bool expired_or_not_yet_valid = false;
    bool chain_incomplete = false; // an issuer that clients need is missing
};

examined_pair examine(const config::certificate_files&, certificate::time_point now, key_trial, pace = pace::at_once);

} // namespace scoregate::tls
