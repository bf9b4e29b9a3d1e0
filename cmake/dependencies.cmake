# Every library comes from the distribution; docs/install.md has the list of packages.
find_package(Threads REQUIRED)
find_package(Protobuf REQUIRED)
find_package(absl REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(libssh REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ZSTD REQUIRED IMPORTED_TARGET libzstd)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
find_package(GTest REQUIRED)
# Its own code is in the headers; so may be the formatting that it stands on.
set_target_properties(spdlog::spdlog_header_only PROPERTIES
  INTERFACE_LINK_LIBRARIES "Threads::Threads;fmt::fmt-header-only")

include(${CMAKE_CURRENT_LIST_DIR}/archives.cmake)
if(SLIPWAY_ARCHIVES)
  slipway_take_archives()
endif()
# After the archives: libpq's would drag in Kerberos and LDAP, which have none.
pkg_check_modules(PQ REQUIRED IMPORTED_TARGET libpq)
