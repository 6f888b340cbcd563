#include "tls/certificate.hpp"

#include "tls/x509_facts.hpp"

#include <utility>

namespace scoregate::tls {

certificate::certificate(x509_ptr leaf, x509_stack_ptr chain, pkey_ptr key)
    : leaf_(std::move(leaf)),
      chain_(std::move(chain)),
      key_(std::move(key)),
      names_(names_of(leaf_.get())),
      not_before_(to_time_point(X509_get0_notBefore(leaf_.get()))),
      not_after_(to_time_point(X509_get0_notAfter(leaf_.get()))),
      serial_(serial_of(leaf_.get())),
      subject_(to_text(X509_get_subject_name(leaf_.get()))),
      key_type_(key_type_of(key_.get())),
      ecdsa_(EVP_PKEY_is_a(key_.get(), "EC") == 1),
      fingerprint_(fingerprint_of(leaf_.get())) {
    if (sk_X509_num(chain_.get()) == 0) chain_.reset(); // every connection would copy it
}

bool certificate::covers(std::string_view name) const { return tls::covers(leaf_.get(), name); }

} // namespace scoregate::tls
