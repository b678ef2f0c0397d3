/** What Pacemaker would say of cluster orders. */
export interface View {
  readonly quorate?: boolean;
  readonly roles?: Readonly<Record<string, string>>;
  readonly managed?: boolean;
  readonly resource?: string;
  /** Can Pacemaker switch hosts off? */
  readonly fencing?: boolean;
  /** The agent's promotion score of pg2; pg1 has the primary's. */
  readonly score?: string;
}

/** As `crm_mon --one-shot --output-as=xml` of Pacemaker 3 prints it; an instance that is stopped has no node. */
export function crmMon(view: View): string {
  const { quorate = true, roles = {}, managed = true, resource = "pgha-orders", fencing = true, score } = view;
  const flags = `orphaned="false" blocked="false" maintenance="${!managed}" managed="${managed}"`;
  const instances = Object.entries({ pg1: "Unpromoted", pg2: "Unpromoted", pg3: "Unpromoted", ...roles }).map(
    ([node, role]) => {
      const words = `id="${resource}" resource_agent="ocf:heartbeat:pgsqlms" role="${role}" ${flags}`;
      return role === "Stopped"
        ? `<resource ${words} active="false" nodes_running_on="0"/>`
        : `<resource ${words} active="true" nodes_running_on="1"><node name="${node}" id="1" cached="true"/></resource>`;
    },
  );
  return `<?xml version="1.0"?>
<pacemaker-result api-version="2.38" request="crm_mon --one-shot --output-as=xml">
  <summary><current_dc present="true" version="3.0.0" name="pg2" id="2" with_quorum="${quorate}"/>
    <cluster_options stonith-enabled="${fencing}" symmetric-cluster="true" no-quorum-policy="stop"/></summary>
  <nodes><node name="pg1" id="1" online="true"/></nodes>
  <resources>
    <clone id="other-clone" multi_state="true" managed="true"><resource id="other" role="Promoted"><node name="pg1"/></resource></clone>
    <clone id="${resource}-clone" multi_state="true" unique="false" maintenance="${!managed}" managed="${managed}">
      ${instances.join("\n      ")}
    </clone>
  </resources>
  <node_attributes>
    <node name="pg1"><attribute name="master-${resource}" value="1001"/></node>
    <node name="pg2"><attribute name="other" value="1"/>${score === undefined ? "" : `<attribute name="master-${resource}" value="${score}"/>`}</node>
  </node_attributes>
</pacemaker-result>`;
}
