// The names that ACME orders certificates for, and where they are kept. The drawn name is a line of state_dir/domain:
// label, six random characters and domainSuffix, as Azure's leafDomainLabel has it.
#pragma once

#include "config/model.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace scoregate::config {

inline constexpr std::size_t drawn_characters = 6;     // of [a-z0-9], behind the label
inline constexpr std::size_t longest_acme_domain = 64; // it is the subject's common name too (X.520, ub-common-name)

// The file that a drawn name is kept in.
std::string drawn_domain_file(const acme&);
// What it holds, of whichever label; empty if there is no such file. Where it cannot be read, `wrong` says so: to draw
// another would end the name that clients use. Blocks on the file.
std::string read_drawn_domain(const acme&, std::string& wrong);
// Whether `domain` is the label and suffix of `from` with six characters between.
bool is_drawn_from(std::string_view domain, const acme& from);

// Where the certificate for acme.domain is put, once it is issued.
certificate_files pair_of(const acme&);

} // namespace scoregate::config
