#include "tls/openssl_memory.hpp"

#include <catch2/catch.hpp>

#include <openssl/crypto.h>

// That it works is seen in a process of its own: e2e/test_floods.py, and bench/run idle.
TEST_CASE("OpenSSL's memory cannot come from elsewhere once some has been taken") {
    OPENSSL_free(OPENSSL_malloc(1));
    CHECK_FALSE(scoregate::tls::keep_record_buffers_apart());
}
