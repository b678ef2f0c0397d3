/** What Pacemaker's agent takes for PostgreSQL's programs, laid by hand: each goes through the unit of the member. */
export function standInsByHand(cluster: string): string {
  return `M=$(hostname); B=/usr/lib/postgresql/17/bin; D=/etc/pgha/${cluster}/pacemaker; U=pgha-${cluster}-$M.service
mkdir -p $D; mkdir -p -m 0700 /var/lib/pgha /var/lib/pgha/${cluster}
ln -sfn /var/lib/postgresql/17/${cluster}-$M /var/lib/pgha/${cluster}/data
for p in pg_isready pg_controldata pg_waldump; do ln -sfn $B/$p $D/$p; done
printf '#!/bin/sh\\nexec %s/psql -U postgres "$@"\\n' $B > $D/psql
printf '#!/bin/sh\\nexec %s/postgres "$@" -c config_file=/etc/pgha/${cluster}/%s/postgresql.conf\\n' $B $M > $D/postgres
cat > $D/pg_ctl <<END
#!/bin/sh
for a in "\\$@"; do case \\$a in
 start) systemctl reset-failed $U 2>/dev/null; exec systemctl start $U;;
 stop) exec systemctl stop $U;;
 status|promote) exec runuser -u postgres -- $B/pg_ctl "\\$@";;
esac; done
exit 1
END
chmod 755 $D/psql $D/postgres $D/pg_ctl`;
}
