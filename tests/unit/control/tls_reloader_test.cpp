#include "control/tls_reloader.hpp"

#include "support/certificates.hpp"
#include "support/run_task.hpp"
#include "unit/control/configurations.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <filesystem>
#include <future>
#include <openssl/ssl.h>

using namespace scoregate;
using namespace scoregate::control;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

const tests::hierarchy& identity(std::size_t number) {
    static const std::array made{tests::make_hierarchy(), tests::make_hierarchy()};
    return made.at(number);
}
std::string serial(std::size_t number) { return identity(number).certificate()->serial(); }

struct fixture {
    fixture() : files(write(0)) { adopt({files}); }

    config::certificate_files write(std::size_t certificate, std::size_t key) {
        return folder.write_pair(identity(certificate).certificate_pem(), identity(key).key_pem(), "www.contoso.com");
    }
    config::certificate_files write(std::size_t number) { return write(number, number); }

    config::settings settings(std::vector<config::certificate_files> pairs) {
        config::settings made;
        made.file = "scoregate.json";
        made.certificates = std::move(pairs);
        return made;
    }
    void adopt(std::vector<config::certificate_files> pairs) {
        const auto next = settings(std::move(pairs));
        auto found = run(io, reload.prepare(next));
        REQUIRE(found.problems.empty());
        reload.adopt(std::move(found), next);
    }
    // Once; what is no good is waited for.
    config::problems look() { return problems_after(reload.look(false)); }
    // As when somebody asks for a reload.
    config::problems ask() { return problems_after(reload.reload()); }
    config::problems problems_after(base::task<> work) {
        bool done = false;
        tests::start(io, std::move(work), done);
        io.restart();
        while (!done && io.run_one() != 0) {
        }
        REQUIRE(done);
        return reload.problems();
    }
    const reload_unit& unit() const { return reload.pairs().at(0)->unit; }
    std::uint64_t successes() const {
        std::uint64_t all = 0;
        for (const auto& each : reload.pairs()) all += each->unit.past().succeeded;
        for (const auto* each : {&reload.tickets(), &reload.clients()})
            if (*each) all += (*each)->past().succeeded;
        return all;
    }
    std::string served() const {
        REQUIRE_FALSE(published.empty());
        REQUIRE(published.back().size() == 2);
        const auto* const x509 = SSL_CTX_get0_certificate(published.back().at(1).get());
        for (std::size_t i : {0U, 1U})
            if (X509_cmp(x509, identity(i).leaf.certificate.get()) == 0) return serial(i);
        return "another";
    }

    tests::pem_directory folder;
    base::asio::io_context io{1};
    std::vector<std::vector<tls::ssl_ctx_ptr>> published;
    std::vector<open_connections> connections; // what became of them, each time
    std::uint64_t told_before = 0;             // of reloads that had succeeded, the last time
    tls_reloader reload{io.get_executor(), background, 2, [this](auto next, auto open) {
                            published.push_back(std::move(next));
                            connections.push_back(open);
                            told_before = successes();
                        }};
    config::certificate_files files;
    base::background background; // ends first
};

} // namespace

TEST_CASE("a renewed pair is served, unchanged content is not a reload") {
    fixture at;
    REQUIRE(at.published.size() == 1);
    CHECK(at.served() == serial(0));
    CHECK(at.unit().name() == "certificate:www.contoso.com");
    CHECK(at.look().empty());
    at.write(0); // the same again
    CHECK(at.look().empty());
    CHECK(at.ask().empty());
    CHECK(at.published.size() == 1);
    CHECK(at.unit().past().succeeded == 0);

    at.write(1);
    CHECK(at.look().empty());
    CHECK(at.published.size() == 2);
    CHECK(at.served() == serial(1));
    CHECK(at.unit().past().succeeded == 1);
    CHECK(at.told_before == 0); // who sees the success meets the pair
    CHECK(at.reload.pairs().at(0)->value->serial() == serial(1));
}

TEST_CASE("an awaited pair that was no good is looked at again by who insists, the same bytes too") {
    fixture at;
    at.adopt({});
    using std::chrono::system_clock;
    tests::identity_terms terms;
    terms.not_before = system_clock::now() - 48h;
    terms.not_after = system_clock::now() - 24h;
    const auto expired = tests::make_hierarchy(terms);
    tests::pem_directory other;
    auto awaited = other.write_pair(expired.certificate_pem(), expired.key_pem(), "www.contoso.com");
    awaited.awaited = true;
    auto next = at.settings({awaited});
    next.refuse_expired = true;
    auto found = run(at.io, at.reload.prepare(next));
    REQUIRE(found.problems.empty());
    at.reload.adopt(std::move(found), next);
    REQUIRE(at.reload.awaits_issue());
    next.refuse_expired = false; // as when the clock is set right
    at.reload.adopt(run(at.io, at.reload.prepare(next)), next);
    CHECK(at.look().empty());
    CHECK(at.reload.awaits_issue());
    CHECK(at.problems_after(at.reload.look(true)).empty());
    CHECK_FALSE(at.reload.awaits_issue());
}

TEST_CASE("a pair that does not match for a moment is waited out") {
    fixture at;
    at.write(1, 0);
    CHECK(at.look().empty());
    CHECK(at.served() == serial(0));
    fs::remove(at.files.key);
    CHECK(at.look().empty());
    CHECK(at.unit().past().failed == 0);
    at.write(1);
    CHECK(at.look().empty());
    CHECK(at.served() == serial(1));
    CHECK(at.unit().past().failed == 0);
}

TEST_CASE("who asks while the files are being replaced is not told of the moment between the two") {
    fixture at;
    at.write(1, 0);
    bool done = false, replaced = false;
    tests::start(at.io, at.reload.reload(), done);
    at.io.restart();
    while (!done && at.io.run_one() != 0) {
        if (replaced || !at.unit().waiting()) continue;
        at.write(1);
        replaced = true;
    }
    CHECK(replaced);
    CHECK(at.reload.problems().empty());
    CHECK(at.served() == serial(1));
    CHECK(at.unit().past().failed == 0);
}

TEST_CASE("a chain that is half written is waited for, unless that is all there will be") {
    fixture at;
    const auto leaf_only = tests::to_pem({&identity(0).leaf});
    at.folder.write("cert.pem", leaf_only);
    CHECK(at.look().empty());
    CHECK(at.unit().past().succeeded == 0);
    CHECK(at.unit().waiting());
    CHECK(at.ask().empty()); // who asks wants it so
    CHECK(at.unit().past().succeeded == 1);
    CHECK(at.published.size() == 2);
}

TEST_CASE("looks that begin together are one: a unit that is being read already does not hang") {
    fixture at; // follow() has a look due, because the fixture's pair is new to it
    bool done = false;
    base::gate inside;
    tests::start(at.io, at.reload.look(false), done);
    base::spawn(at.io.get_executor(), inside, at.reload.follow());
    at.io.restart();
    while (!done) at.io.run_one();
    CHECK(at.unit().past().failed == 0);
    CHECK(at.reload.problems().empty());
}

TEST_CASE("a volume that hangs holds up only what is on it") {
    // A FIFO in the place of a folder's file would be refused; what hangs for real is a mount. Here the unit's lane is
    // kept busy as such a read keeps it.
    tests::identity_terms terms;
    terms.names = {"other.contoso.com"};
    const auto other = tests::make_hierarchy(terms);
    fixture at;
    tests::pem_directory folder;
    const auto files = folder.write_pair(other.certificate_pem(), other.key_pem(), "other.contoso.com");
    at.adopt({at.files, files});
    std::promise<void> end;
    auto hang = [until = end.get_future().share()] {
        until.wait();
        return true;
    };
    std::optional<std::optional<bool>> given_up;
    tests::start(at.io, at.background.run(at.io.get_executor(), at.reload.pairs().at(1)->lane, 1ms, hang), given_up);
    at.io.restart();
    while (!given_up) at.io.run_one();
    at.write(1);
    CHECK(at.look().empty());
    CHECK(at.served() == serial(1));
    end.set_value();
}

TEST_CASE("who asks for a reload is told of a pair that is no good, and the old one stays") {
    fixture at;
    at.write(1, 0);
    const auto problems = at.ask();
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].file == "scoregate.json");
    CHECK(problems[0].pointer == "/sslKeyPemFile");
    CHECK(at.served() == serial(0));
    CHECK(at.published.size() == 1);
    CHECK(at.unit().past().failed == 1);
    CHECK_FALSE(at.unit().past().last_succeeded);
    at.write(1);
    CHECK(at.look().empty());
    CHECK(at.served() == serial(1));
    CHECK(at.unit().past().last_succeeded);
}

TEST_CASE("a pair outside its validity never replaces a valid one, but it replaces one that is no better") {
    using std::chrono::system_clock;
    tests::identity_terms terms;
    terms.not_before = system_clock::now() - 48h;
    terms.not_after = system_clock::now() - 24h;
    const auto expired = tests::make_hierarchy(terms), expired_too = tests::make_hierarchy(terms);
    fixture at;
    at.folder.write_pair(expired.certificate_pem(), expired.key_pem(), "");
    REQUIRE(at.ask().size() == 1);
    CHECK(at.served() == serial(0));

    tests::pem_directory other;
    const auto files = other.write_pair(expired.certificate_pem(), expired.key_pem(), "www.contoso.com");
    CHECK(run(at.io, at.reload.prepare(at.settings({files}))).problems.size() == 1); // nor by another configuration
    at.adopt({});
    at.adopt({files}); // without one in force it is as at a start
    other.write_pair(expired_too.certificate_pem(), expired_too.key_pem(), "");
    CHECK(at.ask().empty());
    CHECK(at.reload.pairs().at(0)->value->serial() == expired_too.certificate()->serial());
}

TEST_CASE("pairs are units of their own: one that is no good holds up no other") {
    tests::identity_terms terms;
    terms.names = {"other.contoso.com"};
    const auto other = tests::make_hierarchy(terms), renewed = tests::make_hierarchy(terms);
    fixture at;
    tests::pem_directory folder;
    auto files = folder.write_pair(other.certificate_pem(), other.key_pem(), "other.contoso.com");
    files.pointer = "/certificates/0";
    at.adopt({at.files, files});
    REQUIRE(at.reload.pairs().size() == 2);
    CHECK(at.reload.pairs()[1]->unit.name() == "certificate:other.contoso.com");

    at.write(1, 0);
    folder.write_pair(renewed.certificate_pem(), renewed.key_pem(), "");
    const auto problems = at.ask();
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].pointer == "/sslKeyPemFile");
    CHECK(at.reload.pairs()[0]->value->serial() == serial(0));
    CHECK(at.reload.pairs()[1]->value->serial() == renewed.certificate()->serial());

    folder.write("key.pem", "nothing");
    at.write(1);
    const auto others = at.ask();
    REQUIRE_FALSE(others.empty());
    CHECK(others[0].pointer == "/certificates/0/sslKeyPemFile");
    CHECK(at.served() == serial(1));
}

TEST_CASE("another configuration keeps the pairs it still names, with their past") {
    fixture at;
    at.write(1);
    CHECK(at.look().empty());
    const auto published = at.published.size();
    at.adopt({at.files});
    CHECK(at.published.size() == published); // nothing is different
    CHECK(at.unit().past().succeeded == 1);

    auto same = at.files;
    same.pointer = "/certificates/0";
    tests::pem_directory folder;
    const auto fresh = folder.write_pair(identity(0).certificate_pem(), identity(0).key_pem(), "www.contoso.com");
    at.adopt({fresh, same});
    CHECK(at.reload.pairs().at(1)->unit.past().succeeded == 1);
    CHECK(at.reload.pairs().at(0)->unit.name() == "certificate:www.contoso.com");
    CHECK(at.reload.pairs().at(1)->unit.name() == "certificate:www.contoso.com#2");
    CHECK(at.served() == serial(0));

    const auto missing = at.settings({{"/nowhere/cert.pem", "/nowhere/key.pem", "www.contoso.com"}});
    CHECK(run(at.io, at.reload.prepare(missing)).problems.size() == 2);

    at.adopt({}); // TLS off
    CHECK(at.reload.pairs().empty());
    CHECK(at.published.back().at(0) == nullptr);
}

TEST_CASE("ticket keys come from their folder, and a broken one changes nothing") {
    fixture at;
    auto next = at.settings({at.files});
    next.ticket_keys_dir = (at.folder.path() / "tickets").string();
    CHECK(run(at.io, at.reload.prepare(next)).problems.size() == 1); // there is none
    fs::create_directory(*next.ticket_keys_dir);
    at.folder.write("tickets/1.key", std::string(80, 'a'));
    auto found = run(at.io, at.reload.prepare(next));
    REQUIRE(found.problems.empty());
    at.reload.adopt(std::move(found), next);
    REQUIRE(at.reload.tickets());
    CHECK(at.published.size() == 2);

    at.folder.write("tickets/2.key", std::string(80, 'b'));
    CHECK(at.look().empty());
    CHECK(at.reload.tickets()->past().succeeded == 1);
    CHECK(at.told_before == 0);
    CHECK(at.published.size() == 3);
    at.folder.write("tickets/3.key", "short");
    const auto problems = at.ask();
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].pointer == "/ticket_keys_dir");
    CHECK(at.reload.tickets()->past().failed == 1);
    CHECK(at.published.size() == 3);
    at.write(1); // and holds up no certificate
    CHECK_FALSE(at.ask().empty());
    CHECK(at.served() == serial(1));

    next.ticket_keys_dir.reset();
    at.reload.adopt({}, next);
    CHECK_FALSE(at.reload.tickets());
}

TEST_CASE("the authorities of clients come from their file, and a broken one changes nothing") {
    fixture at;
    const auto asked = [&at] { return SSL_CTX_get_verify_mode(at.published.back().at(1).get()); };
    const auto names = [&at] { return sk_X509_NAME_num(SSL_CTX_get_client_CA_list(at.published.back().at(1).get())); };
    CHECK(asked() == SSL_VERIFY_NONE);

    auto next = at.settings({at.files});
    next.client_ca = {(at.folder.path() / "clients.pem").string(), config::client_ca::demand::request};
    const auto missing = run(at.io, at.reload.prepare(next)).problems;
    REQUIRE(missing.size() == 1);
    CHECK(missing[0].file == "scoregate.json");
    CHECK(missing[0].pointer == "/client_ca/file");
    at.folder.write("clients.pem", identity(0).root_pem());
    const auto adopt = [&] {
        auto found = run(at.io, at.reload.prepare(next));
        REQUIRE(found.problems.empty());
        at.reload.adopt(std::move(found), next);
    };
    adopt();
    REQUIRE(at.reload.clients());
    CHECK(at.published.size() == 2);
    CHECK(asked() == SSL_VERIFY_PEER);
    CHECK(names() == 1);
    adopt(); // the same again
    CHECK(at.published.size() == 2);

    next.client_ca->mode = config::client_ca::demand::require;
    adopt();
    CHECK(asked() == (SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT));

    at.folder.write("clients.pem", identity(0).root_pem() + identity(1).root_pem());
    CHECK(at.look().empty());
    CHECK(at.reload.clients()->past().succeeded == 1);
    CHECK(at.told_before == 0);
    CHECK(at.published.size() == 4);
    CHECK(names() == 2);

    at.folder.write("clients.pem", identity(0).certificate_pem()); // no authority's
    CHECK(at.look().empty());                                      // it may be just being written
    const auto problems = at.ask();
    REQUIRE(problems.size() == 1);
    CHECK(problems[0].pointer == "/client_ca/file");
    CHECK_THAT(problems[0].message, Catch::Contains("is no authority's"));
    CHECK(at.reload.clients()->past().failed == 1);
    CHECK(at.published.size() == 4);
    at.write(1); // and holds up no certificate
    CHECK_FALSE(at.ask().empty());
    CHECK(at.served() == serial(1));
    CHECK(asked() == (SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT));
    at.folder.write("clients.pem", identity(1).root_pem());
    CHECK(at.ask().empty());
    CHECK(at.reload.clients()->past().succeeded == 2);

    next.client_ca.reset();
    at.reload.adopt({}, next);
    CHECK_FALSE(at.reload.clients());
    CHECK(asked() == SSL_VERIFY_NONE);

    // Who was let in by other terms does not go on; another certificate of ours is no reason.
    using enum open_connections;
    CHECK(at.connections == std::vector{stay, finish, finish, finish, stay, finish, finish});
}

TEST_CASE("another configuration may come at any step of a reload, also one without the unit that is reloaded") {
    for (int steps = 0; steps != 16; ++steps) {
        fixture at;
        auto next = at.settings({at.files});
        next.client_ca = {(at.folder.path() / "clients.pem").string(), config::client_ca::demand::request};
        at.folder.write("clients.pem", identity(0).root_pem());
        auto found = run(at.io, at.reload.prepare(next));
        REQUIRE(found.problems.empty());
        at.reload.adopt(std::move(found), next);
        at.folder.write("clients.pem", identity(1).root_pem());
        bool done = false;
        tests::start(at.io, at.reload.look(false), done);
        at.io.restart();
        for (int i = 0; i != steps && !done; ++i) at.io.run_one();
        next.client_ca.reset();
        at.reload.adopt({}, next);
        while (!done && at.io.run_one() != 0) {
        }
        CHECK(done);
        CHECK_FALSE(at.reload.clients());
        CHECK(SSL_CTX_get_verify_mode(at.published.back().at(1).get()) == SSL_VERIFY_NONE);
    }
}

TEST_CASE("a pair from a provider may not be there yet, and then nothing is served until it is") {
    fixture at;
    auto awaited = at.files;
    awaited.awaited = true;
    const auto absent = GENERATE(true, false);
    if (absent) {
        fs::remove(awaited.certificate);
        fs::remove(awaited.key);
    } else {
        at.write(1, 0); // what is there is no good: another is ordered
    }
    const auto found = read_tls({awaited}, std::nullopt, std::nullopt, false, "scoregate.json");
    CHECK(found.problems.empty());
    CHECK(found.alarms.empty() == absent);
    at.adopt({});
    REQUIRE_FALSE(at.reload.awaits_issue());
    at.adopt({awaited});
    CHECK(at.reload.awaits_issue());
    CHECK(at.published.back().at(1) == nullptr);
    CHECK(at.ask().empty());
    CHECK(at.reload.awaits_issue());

    at.write(1);
    CHECK(at.ask().empty());
    CHECK_FALSE(at.reload.awaits_issue());
    CHECK(at.served() == serial(1));
}
