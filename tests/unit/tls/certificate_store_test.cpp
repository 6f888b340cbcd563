#include "support/certificates.hpp"
#include "tls/certificate_store.hpp"

#include <catch2/catch.hpp>

#include <set>

namespace {

using namespace scoregate;
using tests::key_kind;
using certificate_ptr = std::shared_ptr<const tls::certificate>;

certificate_ptr made(std::vector<std::string> names, key_kind key = key_kind::ec_p256,
                     const std::string& common_name = "server") {
    tests::identity_terms terms;
    terms.common_name = common_name;
    terms.names = std::move(names);
    terms.key = key;
    return tests::make_hierarchy(terms).certificate();
}

// A new RSA key takes long, and here only its kind matters.
certificate_ptr made_rsa(std::vector<std::string> names) {
    static const auto key = tests::make_key(key_kind::rsa_2048);
    const auto valid_until = std::chrono::system_clock::now() + std::chrono::hours(1);
    auto leaf = tls::issue_certificate(
        {tls::certificate_kind::server, "server", std::move(names), std::chrono::system_clock::now(), valid_until},
        key.get(), {nullptr, key.get()});
    return std::make_shared<const tls::certificate>(std::move(leaf), tls::x509_stack_ptr{sk_X509_new_null()},
                                                    tls::pkey_ptr{EVP_PKEY_dup(key.get())});
}

bool serves(const tls::served_certificates& set, const certificate_ptr& ecdsa, const certificate_ptr& rsa) {
    return set.ecdsa == ecdsa.get() && set.rsa == rsa.get();
}

} // namespace

TEST_CASE("names: exact before wildcard, otherwise the default") {
    const auto first = made({"www.contoso.com", "Mixed.Contoso.COM", "192.0.2.1"}, key_kind::ec_p256, "cn.contoso.com");
    const auto wildcard = made({"*.contoso.com", "*.Models.contoso.com", "dotted.example."});
    const auto exact = made({"api.contoso.com", "a*.example.com", "contoso.com"});
    const tls::certificate_store store({first, wildcard, exact}, "www.contoso.com");
    struct row {
        std::string name;
        const certificate_ptr& served;
    };
    const std::string long_label(63, 'l');
    for (const auto& row : std::vector<row>{
             {"", first},
             {"www.contoso.com", first},
             {"WWW.CONTOSO.com", first},
             {"mixed.contoso.com", first},
             {"192.0.2.1", first},
             {"api.contoso.com", exact},
             {"aPI.contoso.com", exact},
             {"contoso.com", exact},
             {"other.contoso.com", wildcard},
             {"OTHER.Contoso.Com", wildcard},
             {"iris.models.contoso.com", wildcard},
             {"cn.contoso.com", wildcard},
             {long_label + ".contoso.com", wildcard},
             {"a.b.contoso.com", first}, // one label only
             {"a.iris.models.contoso.com", first},
             {"x.example.com", first},
             {"ab.example.com", first}, // a star covers whole labels
             {"contoso", first},
             {"com", first},
             {".contoso.com", first},
             {".", first},
             {"..", first},
             {"www.contoso.com.", first},
             {"api.contoso.com.", first},
             {"other.contoso.com.", first},
             {"dotted.example.", first},
             {"dotted.example", first},
             {std::string("api.contoso.com\0", 16), first},
             {"api.contoso.com" + std::string(1, '\xff'), first},
             {std::string(255, 'n'), first},
             {std::string(256, 'n'), first},
             {std::string(65536, 'n') + ".contoso.com", first},
         }) {
        CAPTURE(row.name);
        CHECK(serves(store.choose(row.name), row.served, nullptr));
    }
    CHECK(&store.choose("www.contoso.com") == &store.fallback());
    CHECK(store.all() == std::vector{first, wildcard, exact});
    CHECK(store.warnings().empty());
    CHECK_FALSE(store.single());
}

TEST_CASE("the common name is never a name") {
    const auto first = made({"www.contoso.com"});
    const auto second = made({"api.contoso.com"}, key_kind::ec_p256, "cn.contoso.com");
    const tls::certificate_store store({first, second}, "www.contoso.com");
    CHECK(serves(store.choose("cn.contoso.com"), first, nullptr));
}

TEST_CASE("RSA and ECDSA stand side by side for a name") {
    const auto ecdsa = made({"www.contoso.com"});
    const auto rsa = made_rsa({"www.contoso.com", "rsa.contoso.com"});
    const auto wildcard = made({"*.contoso.com"});
    for (const auto& all : {std::vector{ecdsa, rsa, wildcard}, std::vector{rsa, ecdsa, wildcard}}) {
        const tls::certificate_store store(all, "www.contoso.com");
        CHECK(serves(store.fallback(), ecdsa, rsa));
        CHECK(&store.choose("www.contoso.com") == &store.fallback());
        CHECK(serves(store.choose("rsa.contoso.com"), nullptr, rsa)); // exact before wildcard, for every client
        CHECK(serves(store.choose("any.contoso.com"), wildcard, nullptr));
        CHECK(store.warnings().empty());
    }
}

TEST_CASE("a client without ECDSA gets the wildcard's RSA certificate where the exact name has none") {
    const auto first = made({"first.example"}), exact = made({"www.contoso.com"});
    const auto wildcard = made_rsa({"*.contoso.com"});
    const tls::certificate_store store({first, exact, wildcard}, "first.example");
    CHECK(serves(store.choose("www.contoso.com"), exact, wildcard));
    CHECK(serves(store.choose("other.contoso.com"), nullptr, wildcard));
    // An exact RSA certificate stays alone: with the wildcard's beside it, it would never be chosen.
    const auto exact_rsa = made_rsa({"api.example.com"});
    const auto wildcard_ecdsa = made({"*.example.com"});
    const tls::certificate_store other({first, wildcard_ecdsa, exact_rsa}, "first.example");
    CHECK(serves(other.choose("api.example.com"), nullptr, exact_rsa));
}

TEST_CASE("the default is the first, joined by the first of the other type that covers the name") {
    const auto ecdsa = made({"www.contoso.com", "api.contoso.com"});
    const auto elsewhere = made_rsa({"elsewhere.example"});
    const auto wildcard = made_rsa({"*.contoso.com"});
    const auto later = made_rsa({"www.contoso.com"});
    const tls::certificate_store joined({ecdsa, elsewhere, wildcard, later}, "www.contoso.com");
    CHECK(serves(joined.fallback(), ecdsa, wildcard));
    CHECK(serves(joined.choose("nobody.example"), ecdsa, wildcard));
    CHECK(serves(joined.choose("www.contoso.com"), ecdsa, later));

    const tls::certificate_store alone({elsewhere, ecdsa}, "elsewhere.example");
    CHECK(serves(alone.fallback(), nullptr, elsewhere));
    CHECK(serves(alone.choose("api.contoso.com"), ecdsa, nullptr));

    // What the configuration calls the default is, whatever else covers its name.
    const tls::certificate_store first({elsewhere, wildcard, ecdsa}, "www.contoso.com");
    CHECK(serves(first.fallback(), ecdsa, elsewhere));
}

TEST_CASE("single() means that no name leads elsewhere") {
    const auto ecdsa = made({"www.contoso.com", "*.models.contoso.com"});
    const auto rsa = made_rsa({"www.contoso.com", "*.models.contoso.com"});
    const auto shadowed = made({"www.contoso.com"});
    CHECK(tls::certificate_store({ecdsa}, "www.contoso.com").single());
    CHECK(tls::certificate_store({ecdsa, rsa}, "www.contoso.com").single());
    CHECK(tls::certificate_store({ecdsa, rsa, shadowed}, "www.contoso.com").single());
    CHECK_FALSE(tls::certificate_store({ecdsa, made_rsa({"www.contoso.com"})}, "www.contoso.com").single());
    CHECK_FALSE(tls::certificate_store({ecdsa, made({"api.contoso.com"})}, "www.contoso.com").single());
}

TEST_CASE("two of one key type that claim a name: the earlier is served, and it is told") {
    const auto first = made({"www.contoso.com", "www.contoso.com", "*.contoso.com"}); // its own repetition is none
    const auto second = made({"WWW.contoso.com", "api.contoso.com", "*.Contoso.com"});
    const auto third = made({"api.contoso.com"});
    const auto rsa = made_rsa({"www.contoso.com", "api.contoso.com"});
    const tls::certificate_store store({first, second, third, rsa}, "www.contoso.com");
    CHECK(serves(store.choose("www.contoso.com"), first, rsa));
    CHECK(serves(store.choose("api.contoso.com"), second, rsa));
    CHECK(serves(store.choose("x.contoso.com"), first, nullptr));
    const auto sentence = [](const std::string& names, const certificate_ptr& served,
                             const certificate_ptr& not_served) {
        return "two ECDSA certificates are for " + names + ": serial " + served->serial() +
               " (CN=server) is served, serial " + not_served->serial() +
               " (CN=server) is not; remove one of them from the configuration";
    };
    CHECK_THAT(store.warnings(), Catch::UnorderedEquals(std::vector{
                                     sentence("www.contoso.com, *.contoso.com", first, second),
                                     sentence("api.contoso.com", second, third),
                                 }));
}

TEST_CASE("the id is of the certificates, in whichever store and place") {
    const auto a = made({"www.contoso.com"}), b = made({"www.contoso.com", "api.contoso.com"});
    const auto rsa = made_rsa({"www.contoso.com"});
    const tls::certificate_store only_a({a}, "www.contoso.com"), only_b({b}, "www.contoso.com"),
        only_rsa({rsa}, "www.contoso.com"), both({a, rsa}, "www.contoso.com"), turned({rsa, b, a}, "www.contoso.com"),
        a_later({b, a, rsa}, "www.contoso.com");
    CHECK(both.fallback().id == tls::certificate_store({rsa, a}, "www.contoso.com").fallback().id);
    CHECK(only_b.fallback().id == turned.choose("api.contoso.com").id);
    const std::set<tls::content_digest> ids{only_a.fallback().id, only_b.fallback().id, only_rsa.fallback().id,
                                            both.fallback().id, turned.fallback().id};
    CHECK(ids.size() == 5);
    CHECK(turned.fallback().id == a_later.fallback().id);
}

TEST_CASE("each of many certificates is found") {
    std::vector<certificate_ptr> all;
    for (int i = 0; i < 200; ++i)
        all.push_back(made({"m" + std::to_string(i) + ".contoso.com", "*.m" + std::to_string(i) + ".contoso.com"}));
    const tls::certificate_store store(all, "m0.contoso.com");
    for (int i = 0; i < 200; ++i) {
        CAPTURE(i);
        CHECK(
            serves(store.choose("M" + std::to_string(i) + ".contoso.com"), all[static_cast<std::size_t>(i)], nullptr));
        CHECK(serves(store.choose("x.m" + std::to_string(i) + ".Contoso.com"), all[static_cast<std::size_t>(i)],
                     nullptr));
    }
}
